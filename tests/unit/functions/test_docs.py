import re

import pytest

from schemas.openapi import build_openapi


async def test_the_description_is_that_of_the_target(producer, make_producer, real_registry):
    assert (await producer.get("/openapi.json")).json() == build_openapi(real_registry)
    alone = await make_producer("plans")
    expected = build_openapi({"plans": real_registry["plans"]})
    assert (await alone.get("/openapi.json")).json() == expected


async def test_the_page_needs_nothing_from_elsewhere(producer):
    page = await producer.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'; script-src 'self'" in page.headers["content-security-policy"]
    assert "http" not in page.text
    assert not re.search(r"<script>|<style| on\w+=", page.text)
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 4
    for link in links:
        assert (await producer.get(link)).status_code == 200


@pytest.mark.parametrize(
    ("path", "media_type", "start"),
    [
        ("/docs/start.js", "text/javascript; charset=utf-8", b"SwaggerUIBundle("),
        ("/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8", b""),
        ("/docs/swagger-ui.css", "text/css; charset=utf-8", b"."),
        ("/docs/favicon-32x32.png", "image/png", b"\x89PNG"),
    ],
)
async def test_assets(producer, path, media_type, start):
    response = await producer.get(path)
    assert response.headers["content-type"] == media_type
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.content.startswith(start)
    assert response.content


@pytest.mark.parametrize("path", ["/docs/", "/docs/index.html", "/docs/../main.py", "/docs/%2e%2e"])
async def test_nothing_else_of_the_folder_is_served(producer, path):
    assert (await producer.get(path)).status_code == 404
