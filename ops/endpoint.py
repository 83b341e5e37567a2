"""Reaches the endpoint over HTTP."""

from typing import Final

import httpx

CALL_SECONDS: Final = 60.0
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def endpoint_client(url: str, **headers: str) -> httpx.Client:
    """Return a client for the endpoint at a base URL; underscores in headers become hyphens.

    Raises:
        httpx.InvalidURL: The URL is none.
    """
    # A proxy of the environment leads out, never back to this machine.
    leads_out = httpx.URL(url).host not in _LOOPBACK
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Client(base_url=url, headers=names, timeout=CALL_SECONDS, trust_env=leads_out)
