"""What a request's headers say of its body: format, coding, length."""

import re
from typing import Final

from functions.exchange import Exchange
from functions.problems import UNSUPPORTED_ENCODING, UNSUPPORTED_MEDIA_TYPE, Problem

JSON: Final = "json"
NDJSON: Final = "ndjson"
_FORMATS: Final = {
    b"application/json": JSON,
    b"application/x-ndjson": NDJSON,
    b"application/ndjson": NDJSON,
    b"application/jsonl": NDJSON,
}
ACCEPTED: Final = b"application/json, application/x-ndjson"
_UTF8_PARAMETER: Final = re.compile(rb'\s*charset\s*=\s*"?utf-?8"?\s*', re.IGNORECASE)


def body_format(exchange: Exchange) -> str:
    """Return JSON or NDJSON.

    Raises:
        Problem: 415. A missing type is refused too: RFC 9110 (section 8.3) lets a recipient take it
            for `application/octet-stream`, and guessing hides mistakes.
    """
    value = exchange.headers.get(b"content-type", b"")
    found = _FORMATS.get(value)  # as nearly everybody writes it
    if found is None:
        media_type, *parameters = value.split(b";")
        found = _FORMATS.get(media_type.strip().lower())
        if not all(
            _UTF8_PARAMETER.fullmatch(parameter) for parameter in parameters if parameter.strip()
        ):
            found = None
    if found is None or (exchange.has_repeats and exchange.single(b"content-type") is None):
        raise Problem(
            UNSUPPORTED_MEDIA_TYPE,
            "send application/json or application/x-ndjson, in UTF-8",
            # https://www.w3.org/TR/ldp/#header-accept-post; Accept by RFC 9110, section 12.5.1.
            headers=[(b"accept-post", ACCEPTED), (b"accept", ACCEPTED)],
        )
    return found


def content_length(value: bytes) -> int:
    """Return the number of a Content-Length, which the server has found to be one."""
    # More digits are too large whatever they are, and int() could take its time.
    return int(value[:20])


def is_gzip(exchange: Exchange) -> bool:
    """Tell whether the body is gzip rather than plain.

    Raises:
        Problem: 415, for any other coding or a chain of them.
    """
    value = exchange.joined(b"content-encoding")
    if value is None:
        return False
    coding = value.strip().lower()
    if coding in (b"gzip", b"x-gzip"):
        return True
    if coding in (b"identity", b""):
        return False
    raise Problem(
        UNSUPPORTED_ENCODING,
        "send the body plain or with Content-Encoding: gzip",
        headers=[(b"accept-encoding", b"gzip, identity")],
    )
