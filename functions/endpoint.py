"""One resource's intake: from a request to the answer that its records are published."""

import re
import time
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import orjson

from functions.answer import Answer, api_answer
from functions.audit import Clock, UuidV7, repeatable_ids
from functions.audit_event import Facts
from functions.auth import KeyRing, KeysUnavailableError, UnknownKeyError
from functions.body import LARGE_BODY, Bodies
from functions.client_address import client_address
from functions.exchange import Exchange
from functions.ledger import Ledger
from functions.media import body_format, content_length
from functions.packing import DELETE, UPSERT, Envelope, Packed, Packer
from functions.problems import (
    INVALID_IDEMPOTENCY_KEY,
    INVALID_RECORDS,
    KEYS_UNAVAILABLE,
    NOT_FOUND,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    Problem,
    retry_later,
)
from functions.publisher import Publisher
from functions.records import Sieve, Sifted
from functions.throttle import Guard
from schemas.registry import Resource
from schemas.validation import RecordError, Validator

_IDEMPOTENCY_KEY: Final = re.compile(rb"[!-~]{1,255}")
# Of a body that is not read, so much may follow on the same connection; beyond it closes.
_IGNORED_BODY_BYTES: Final = 64 * 1024


# The answer to a tombstone is that to a single record.
_TOMBSTONE: Final = Sifted()
_TOMBSTONE.positions.append(0)


class Endpoint:
    """Takes the records of one resource.

    Args:
        resource: What it takes.
        validator: Of the resource; tombstones need it besides the sieve.
        keys: Who may send.
        guard: Who has to wait.
        forwarded_for_position: Where the client's address is; see `client_address`.
        bodies: Reads requests.
        sieve: Checks records.
        publisher: Sends messages.
        ledger: Keeps an event of every request.
        ids: Makes event ids.
        clock: Tells the time of the audit columns.
    """

    def __init__(
        self,
        *,
        resource: Resource,
        validator: Validator,
        keys: KeyRing,
        guard: Guard,
        forwarded_for_position: int,
        bodies: Bodies,
        sieve: Sieve,
        publisher: Publisher,
        ledger: Ledger,
        ids: UuidV7,
        clock: Clock,
    ) -> None:
        self.resource = resource
        self.keys = keys
        self.publisher = publisher
        self._guard = guard
        self._forwarded_for_position = forwarded_for_position
        self._validator = validator
        self._bodies = bodies
        self._sieve = sieve
        self._ledger = ledger
        self._ids = ids
        self._clock = clock
        self._packer = Packer(resource)

    async def post(self, exchange: Exchange) -> Answer:
        """Accept the valid records of a body: one object, an array, or NDJSON.

        The answer is 202 only if Pub/Sub holds all of them. If some messages of a bulk request are
        published and others are not, it is 503 for the whole: the producer repeats it, and with an
        Idempotency-Key the records that come twice have the same event ids.
        """
        facts = exchange.facts = Facts(self.resource, UPSERT)
        key_id = await self._identify(exchange)
        facts.key_id = key_id
        repeat_key = idempotency_key(exchange)
        format_ = body_format(exchange)
        body = await self._bodies.read(exchange)
        try:
            if len(body) < LARGE_BODY:
                sifted = self._sieve.sift_at_once(body, format_)
            else:
                sifted = await self._sieve.sift(body, format_)
        finally:
            self._bodies.done(body)
        del body  # not needed while the publish lasts
        if sifted.bad:
            facts.reject(sifted.bad)
        if not sifted.good:
            raise _nothing_valid(sifted)
        if repeat_key is None:
            event_ids = self._ids.take(len(sifted.good))
        else:
            event_ids = repeatable_ids(
                self.resource.name, key_id, repeat_key, positions=sifted.positions
            )
        envelope = self._envelope(exchange, UPSERT, key_id, repeat_key)
        packed = self._packer.pack(envelope, sifted.good, event_ids)
        sifted.good.clear()  # nor are these, which take the memory of the body again
        await self._publish(exchange, facts, envelope, repeat_key, packed, records=len(event_ids))
        return _accepted(exchange.request_id, sifted, event_ids)

    async def delete(self, exchange: Exchange, segments: Sequence[bytes]) -> Answer:
        """Accept a tombstone for the record whose key the path's segments, undecoded, are."""
        facts = exchange.facts = Facts(self.resource, DELETE)
        key_id = await self._identify(exchange)
        facts.key_id = key_id
        repeat_key = idempotency_key(exchange)
        try:
            texts = [unquote_to_bytes(segment).decode() for segment in segments]
        except UnicodeDecodeError:
            raise Problem(NOT_FOUND, "the path is not UTF-8") from None
        key, errors = self._validator.parse_key(texts)
        if key is None:
            facts.reject({0: errors})
            raise _invalid({0: errors}, is_cut=False)
        if repeat_key is None:
            event_ids = self._ids.take(1)
        else:
            # Apart from the ids of records: else a tombstone that shares the key of an earlier
            # request would count as its repeat, and the record would live on.
            event_ids = repeatable_ids(
                self.resource.name, key_id, repeat_key, DELETE, positions=(0,)
            )
        envelope = self._envelope(exchange, DELETE, key_id, repeat_key)
        packed = self._packer.pack(envelope, [orjson.dumps(key)], event_ids)
        await self._publish(exchange, facts, envelope, repeat_key, packed, records=1)
        return _accepted(exchange.request_id, _TOMBSTONE, event_ids)

    async def _publish(
        self,
        exchange: Exchange,
        facts: Facts,
        envelope: Envelope,
        repeat_key: str | None,
        packed: Packed,
        *,
        records: int,
    ) -> None:
        """Publish the messages and then the audit event, which so never tells of what is not.

        The other way round, or both at once, a process that dies in between would leave an event
        that counts records as accepted which nobody ever had.
        """
        facts.now = envelope.now
        facts.first_event_ids = packed.first_event_ids
        if repeat_key is None:
            facts.repeat_id = exchange.request_id
        else:  # apart from the ids of events by its last part
            names = (self.resource.name, envelope.key_id, repeat_key, envelope.op, "request")
            [facts.repeat_id] = repeatable_ids(*names, positions=(0,))
        started = time.monotonic()
        await self._ledger.check()
        await self.publisher.publish(packed.messages)
        facts.accepted = records
        await self._ledger.accept(exchange, facts, time.monotonic() - started)

    async def _identify(self, exchange: Exchange) -> str:
        """Return the id of the request's key; before the body is read, which may be large."""
        api_key = exchange.single(b"x-api-key")
        key_id = self.keys.known(api_key)
        address = client_address(exchange, self._forwarded_for_position)
        wait = self._guard.admit(address, self.resource.name, key_id)
        try:
            if key_id is None and not wait:
                key_id = await self.keys.identify(api_key)
                wait = self._guard.admit(address, self.resource.name, key_id)
            if key_id is not None and not wait:
                return key_id
            # The same whether the key is right, else guesses would still be answered.
            problem = retry_later(TOO_MANY_REQUESTS, "or too many refused keys", ceil(wait))
        except UnknownKeyError:
            self._guard.refused(address)
            headers = [(b"www-authenticate", b'ApiKey realm="vitalflow", header="x-api-key"')]
            problem = Problem(UNAUTHORIZED, "send the resource's key in x-api-key", headers=headers)
        except KeysUnavailableError:
            problem = retry_later(KEYS_UNAVAILABLE, "Secret Manager cannot be reached", seconds=5)
        problem.is_early = _has_large_body(exchange)
        raise problem

    def _envelope(
        self, exchange: Exchange, op: str, key_id: str, repeat_key: str | None
    ) -> Envelope:
        return Envelope(
            op,
            exchange.request_id,
            key_id,
            self._clock.now(),
            repeat_key is not None,
            exchange.traceparent,
        )


def idempotency_key(exchange: Exchange) -> str | None:
    """Return the Idempotency-Key, if there is one.

    Raises:
        Problem: 400, if it is not 1 to 255 printable ASCII characters, or is there twice.
    """
    if b"idempotency-key" not in exchange.headers:
        return None
    value = exchange.single(b"idempotency-key")
    if value is None or not _IDEMPOTENCY_KEY.fullmatch(value):
        raise Problem(INVALID_IDEMPOTENCY_KEY)
    return value.decode()


def _has_large_body(exchange: Exchange) -> bool:
    """Tell whether a body follows that is better not waited for."""
    declared = exchange.headers.get(b"content-length")
    if declared is None:
        return b"transfer-encoding" in exchange.headers
    return content_length(declared) > _IGNORED_BODY_BYTES


def _accepted(request_id: str, sifted: Sifted, event_ids: Sequence[str]) -> Answer:
    """Answer 202; built as bytes where that is the rule, as most answers are of one record."""
    if not sifted.bad and len(event_ids) == 1:
        body = (
            f'{{"request_id":"{request_id}","accepted":1,"rejected":0,'
            f'"records":[{{"index":{sifted.positions[0]},"event_id":"{event_ids[0]}"}}]}}'
        ).encode()
        return api_answer(202, body, request_id)
    records: list[dict[str, Any]] = [
        {"index": index, "event_id": event_id}
        for index, event_id in zip(sifted.positions, event_ids, strict=True)
    ]
    records += [{"index": index, "errors": errors} for index, errors in sifted.bad.items()]
    records.sort(key=lambda entry: entry["index"])
    document = {
        "request_id": request_id,
        "accepted": len(event_ids),
        "rejected": len(sifted.bad),
        "records": records,
        **({"errors_truncated": True} if sifted.is_cut else {}),
    }
    return api_answer(202, orjson.dumps(document), request_id)


def _nothing_valid(sifted: Sifted) -> Problem:
    return _invalid(sifted.bad, is_cut=sifted.is_cut)


def _invalid(bad: Mapping[int, Sequence[RecordError]], *, is_cut: bool) -> Problem:
    listed = [
        {"index": index, **error.as_dict()} for index, errors in bad.items() for error in errors
    ]
    members: dict[str, Any] = {"errors": listed}
    if is_cut:
        members["errors_truncated"] = True
    return Problem(INVALID_RECORDS, "`errors` says where and why", members=members)
