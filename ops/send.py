"""`python -m ops send`: sends a file's records to the endpoint, as a producer would.

The key comes from --key-file, or VITALFLOW_API_KEY, or the stack of this machine. Sending the same
file again is safe: each request's Idempotency-Key follows from its body.
"""

import argparse
import hashlib
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from ops import connection
from ops.connection import ConnectionNotFoundError
from ops.endpoint import endpoint_client
from ops.record_file import AUTO, FORMATS, RecordFileError, open_file, read_records
from ops.terminal import progress
from schemas import limits
from schemas.registry import load_registry

KEY_VARIABLE: Final = "VITALFLOW_API_KEY"
USAGE: Final = 2
TRIES: Final = 8
_LONGEST_PAUSE_SECONDS: Final = 60.0
# As docs/producers.md has it: what may go well the next time.
_RETRIED: Final = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


class SendError(Exception):
    """The endpoint did not take a request; what was accepted before stays accepted."""


@dataclass(slots=True)
class Total:
    """What became of the records so far."""

    accepted: int = 0
    rejected: int = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if every record was accepted, 1 if one was not, 2 for a wrong call."""
    options = _parser().parse_args(argv)
    total = Total()
    try:
        url, key = _where(options)
        with (
            endpoint_client(url, x_api_key=key, content_type="application/x-ndjson") as http,
            open_file(options.file) as stream,
            progress() as bar,
        ):
            task = bar.add_task("sending", total=None)
            sender = Sender(http, options.resource, total)
            for count in sender.send(read_records(stream, options.file, options.format)):
                bar.advance(task, count)
    except (ConnectionNotFoundError, RecordFileError, httpx.InvalidURL, OSError) as error:
        print(f"send: {error}", file=sys.stderr)
        return USAGE
    except SendError as error:
        print(f"send: {error}; {total.accepted:,} accepted before", file=sys.stderr)
        return 1
    print(f"{total.accepted:,} accepted, {total.rejected:,} rejected")
    return 1 if total.rejected else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ops send", description=__doc__)
    parser.add_argument("file", metavar="FILE", help="JSON or NDJSON; - for stdin")
    parser.add_argument("--resource", required=True, choices=list(load_registry()), metavar="R")
    parser.add_argument("--format", choices=FORMATS, default=AUTO)
    parser.add_argument("--key-file", type=Path, help="a file that holds the API key alone")
    parser.add_argument("--endpoint", help="base URL; ENDPOINT else")
    connection.add_arguments(parser)
    return parser


def _where(options: argparse.Namespace) -> tuple[str, str]:
    """Return the endpoint's URL and the key: a stack on this machine tells what is not given."""
    url = options.endpoint or os.environ.get("ENDPOINT")
    # Never an option by itself: other users of the machine see a process's arguments.
    key = options.key_file.read_text().strip() if options.key_file else os.environ.get(KEY_VARIABLE)
    if not (url and key):
        with connection.connect(options) as system:
            url = url or system.endpoint
            # The keys of this machine's stack are not for another's endpoint.
            if url == system.endpoint:
                key = key or system.api_keys.get(options.resource)
    if not url:
        raise ConnectionNotFoundError("name the endpoint by --endpoint or ENDPOINT")
    if not key or not key.isascii():
        raise ConnectionNotFoundError(f"no key: name a --key-file, or set {KEY_VARIABLE}")
    return url, key


class Sender:
    """Sends records in bulk requests, one after the other, so that their order is kept."""

    def __init__(
        self,
        http: httpx.Client,
        resource: str,
        total: Total,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http, self._resource, self._total = http, resource, total
        self._sleep = sleep

    def send(self, records: Iterable[bytes]) -> Iterator[int]:
        """Send all; yield each request's number of records once it is answered.

        Raises:
            SendError: The endpoint refuses all, or does not answer in spite of repeats.
        """
        first = 1
        for lines in _requests(records):
            answer = self._post(b"\n".join(lines), first)
            self._count(answer, len(lines), first)
            first += len(lines)
            yield len(lines)

    def _post(self, body: bytes, first: int) -> httpx.Response:
        digest = hashlib.sha256(f"{self._resource}\n".encode() + body).hexdigest()
        headers = {"idempotency-key": f"ops-send-{digest}"}
        reason = ""
        for number in range(TRIES):
            try:
                answer = self._http.post(f"/v1/{self._resource}", content=body, headers=headers)
            except httpx.TransportError as error:
                reason, wait = type(error).__name__, ""
            else:
                if answer.status_code not in _RETRIED:
                    return answer
                reason = _reason(answer)
                wait = answer.headers.get("retry-after", "")
            if number < TRIES - 1:
                self._sleep(_pause(number, wait))
        raise SendError(f"stopped at record {first}: {reason}, {TRIES} times")

    def _count(self, answer: httpx.Response, count: int, first: int) -> None:
        problem = _document(answer)
        if answer.status_code == HTTPStatus.ACCEPTED:
            rejected = [r for r in problem["records"] if "errors" in r]
            for record in rejected:
                _print_errors(first + record["index"], record["errors"])
            self._total.accepted += problem["accepted"]
            self._total.rejected += problem["rejected"]
        elif answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
            for error in problem.get("errors", []):
                _print_errors(first + error["index"], [error])
            self._total.rejected += count
        else:
            raise SendError(f"stopped at record {first}: {_reason(answer)}")


def _requests(records: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield as many lines together as fit one message."""
    lines: list[bytes] = []
    size = 0
    for record in records:
        line = _one_line(record)
        is_full = len(lines) == limits.PACK_MAX_RECORDS
        if lines and (is_full or size + len(line) > limits.PACK_MAX_BYTES):
            yield lines
            lines, size = [], 0
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield lines


def _one_line(record: bytes) -> bytes:
    """Return the record as a line of NDJSON; what is no JSON stays so, and is refused as such."""
    if b"\n" not in record and record:
        return record
    try:
        return orjson.dumps(orjson.loads(record))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        # An endpoint that skips empty lines would count the others wrong.
        return b"{"


def _pause(number: int, retry_after: str) -> float:
    if retry_after.isdigit():
        return min(float(retry_after), _LONGEST_PAUSE_SECONDS)
    longest = min(2.0**number, _LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.5, 1)  # noqa: S311  # not for secrecy


def _document(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return {}


def _reason(answer: httpx.Response) -> str:
    code = _document(answer).get("code", "")
    return f"{answer.status_code} {code}".strip()


def _print_errors(number: int, errors: Iterable[dict[str, Any]]) -> None:
    for error in errors:
        print(f"{number}: {error['path']}: {error['message']} ({error['rule']})")
