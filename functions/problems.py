"""Everything that an endpoint may refuse, as RFC 9457 problem details with one stable code each."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from functions.answer import Answer, HeaderList, api_answer

MEDIA_TYPE: Final = b"application/problem+json"
_TYPE_PREFIX: Final = "urn:vitalflow:problem:"


class Kind(NamedTuple):
    """One kind of problem: its code for programs, its status, and its title for people."""

    code: str
    status: int
    title: str


INVALID_JSON: Final = Kind("invalid_json", 400, "The body is not JSON")
EMPTY_BODY: Final = Kind("empty_body", 400, "The body is empty")
INCOMPLETE_BODY: Final = Kind("incomplete_body", 400, "The body ended early")
INVALID_ENCODING: Final = Kind("invalid_encoding", 400, "The body is not gzip")
INVALID_IDEMPOTENCY_KEY: Final = Kind(
    "invalid_idempotency_key", 400, "The Idempotency-Key is not 1 to 255 printable characters"
)
UNAUTHORIZED: Final = Kind("unauthorized", 401, "The API key is missing or unknown")
NOT_FOUND: Final = Kind("not_found", 404, "There is nothing here")
METHOD_NOT_ALLOWED: Final = Kind("method_not_allowed", 405, "The method is not allowed here")
BODY_TIMEOUT: Final = Kind("body_timeout", 408, "The body took too long to arrive")
BODY_TOO_LARGE: Final = Kind("body_too_large", 413, "The body is too large")
TOO_MANY_RECORDS: Final = Kind("too_many_records", 413, "The body holds too many records")
UNSUPPORTED_MEDIA_TYPE: Final = Kind(
    "unsupported_media_type", 415, "The media type is not supported"
)
UNSUPPORTED_ENCODING: Final = Kind(
    "unsupported_encoding", 415, "The content encoding is not supported"
)
NO_RECORDS: Final = Kind("no_records", 422, "The body holds no records")
INVALID_RECORDS: Final = Kind("invalid_records", 422, "No record of the body is valid")
TOO_MANY_REQUESTS: Final = Kind("too_many_requests", 429, "There were too many requests")
INTERNAL_ERROR: Final = Kind("internal_error", 500, "The service failed")
PUBLISH_REFUSED: Final = Kind("publish_refused", 500, "The service is not set up rightly")
PUBLISH_TIMEOUT: Final = Kind("publish_timeout", 503, "The records were not published in time")
OVERLOADED: Final = Kind("overloaded", 503, "The service has as much to do as it can hold")
KEYS_UNAVAILABLE: Final = Kind("keys_unavailable", 503, "API keys cannot be checked at present")
STATUS_UNAVAILABLE: Final = Kind(
    "status_unavailable", 503, "The state of records cannot be looked up at present"
)
SHUTTING_DOWN: Final = Kind("shutting_down", 503, "This instance is shutting down")
NOT_READY: Final = Kind("not_ready", 503, "The service is not ready")


class Problem(Exception):  # noqa: N818 (RFC 9457's word for it)
    """Ends a request with a problem; nothing in it may repeat what was sent.

    Args:
        kind: Which problem.
        detail: What to do about it, for a person.
        headers: Headers that HTTP asks for with this status.
        members: Further members of the problem object, such as `errors`.
        is_early: Whether a large part of the body may not have been read.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        headers: Iterable[tuple[bytes, bytes]] = (),
        members: Mapping[str, Any] | None = None,
        is_early: bool = False,
    ) -> None:
        super().__init__(kind.code)
        self.kind = kind
        self.detail = detail
        self.headers: HeaderList = list(headers)
        self.members = members or {}
        self.is_early = is_early


def retry_later(kind: Kind, detail: str, seconds: int = 1) -> Problem:
    """Return a problem that passes by itself: the same request may be repeated."""
    return Problem(kind, detail, headers=[(b"retry-after", b"%d" % seconds)])


def problem_answer(problem: Problem, request_id: str) -> Answer:
    """Return the problem as `application/problem+json`."""
    kind = problem.kind
    document = {
        "type": _TYPE_PREFIX + kind.code,
        "title": kind.title,
        "status": kind.status,
        **({"detail": problem.detail} if problem.detail else {}),
        "code": kind.code,
        "request_id": request_id,
        **problem.members,
    }
    answer = api_answer(kind.status, orjson.dumps(document), request_id, MEDIA_TYPE)
    answer.headers.extend(problem.headers)
    if problem.is_early:
        answer.close_early()
    return answer
