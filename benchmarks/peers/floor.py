"""The floor: the server that ours runs on, answering without work.

https://github.com/GoogleCloudPlatform/functions-framework-python
"""

import functions_framework.aio
from starlette.requests import Request


@functions_framework.aio.http
async def hello(_: Request) -> str:
    """Answer without looking at the request."""
    return "hello"
