"""The API's description and a page to read it by, without any network beyond this endpoint."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import orjson

from functions.answer import Answer
from functions.exchange import Exchange
from functions.routes import Handler
from schemas.openapi import build_openapi
from schemas.registry import Resource

_ASSETS: Final = {
    "swagger-ui-bundle.js": b"text/javascript; charset=utf-8",
    "swagger-ui.css": b"text/css; charset=utf-8",
    "favicon-32x32.png": b"image/png",
}
_HTML: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vitalflow API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START: Final = b"""SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
});
"""
# Swagger UI sets styles from its script; nothing else comes from elsewhere or from the page itself.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)


def doc_pages(resources: Mapping[str, Resource]) -> dict[str, Handler]:
    """Return the handlers of the documentation by path, for a target of these resources."""
    folder = _assets_folder()
    return {
        "/openapi.json": _Page(orjson.dumps(build_openapi(resources)), b"application/json"),
        "/docs": _Page(_HTML, b"text/html; charset=utf-8"),
        "/docs/start.js": _Page(_START, b"text/javascript; charset=utf-8"),
        **{f"/docs/{name}": _Asset(folder / name, type_) for name, type_ in _ASSETS.items()},
    }


def _assets_folder() -> Path:
    """Return the folder of Swagger UI's files; the package is found, not imported: it is heavy."""
    spec = find_spec("swagger_ui")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("swagger-ui-py is not installed")
    return Path(spec.origin).parent / "static"


class _Page:
    """A document that is held in memory."""

    def __init__(self, body: bytes, media_type: bytes, cache: bytes = b"no-cache") -> None:
        self._body = body
        self._headers = [
            (b"content-type", media_type),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", cache),
            (b"content-security-policy", _POLICY),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def __call__(self, exchange: Exchange) -> Answer:
        request_id = (b"x-request-id", exchange.request_id.encode())
        return Answer(200, self._body, [*self._headers, request_id])


class _Asset:
    """A file that is read when it is first asked for, and then kept.

    Read anew for each request, it would take 1.5 MB for each client that does not read its answer.
    """

    def __init__(self, path: Path, media_type: bytes) -> None:
        self._path = path
        self._media_type = media_type
        self._page: _Page | None = None

    async def __call__(self, exchange: Exchange) -> Answer:
        if self._page is None:
            body = self._path.read_bytes()  # from the local disk
            self._page = _Page(body, self._media_type, b"public, max-age=86400")
        return await self._page(exchange)
