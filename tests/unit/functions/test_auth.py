import asyncio
import hmac
import logging

import grpc
import pytest

from functions import auth
from functions.auth import Key, KeyRing, KeysUnavailableError, UnknownKeyError, parse_payload
from functions.google_rpc import RpcError
from functions.secret_store import SecretVersion
from tests.fixtures.endpoint import until

SECRET = "patients-api-key"


class FakeStore:
    def __init__(self, *payloads: bytes) -> None:
        self.payloads = list(payloads)
        self.status: grpc.StatusCode | None = None
        self.error: Exception | None = None
        self.reads = 0
        self.gate: asyncio.Event | None = None

    async def enabled_versions(self, secret: str) -> list[SecretVersion]:
        assert secret == SECRET
        self.reads += 1
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error
        if self.status:
            raise RpcError(self.status)
        return [SecretVersion(str(n), payload) for n, payload in enumerate(self.payloads, 1)]


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store():
    return FakeStore(b"first", b"second")


@pytest.fixture
def clock():
    return Time()


@pytest.fixture
def ring(store, clock):
    return KeyRing(SECRET, store, refresh_seconds=60, max_stale_seconds=900, clock=clock)


@pytest.mark.parametrize(
    "presented", [b"key-0", b"key-4", b"key-9", b"key-10", b"k", b"x" * 512, b"x" * 513, b""]
)
async def test_every_key_is_compared_in_constant_time_wherever_one_matches(
    clock, monkeypatch, presented
):
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(auth, "compare_digest", compare)
    ring = KeyRing(SECRET, FakeStore(*(b"key-%d" % n for n in range(10))), 60, 900, clock)
    await ring.refresh()

    ring.known(presented)

    # Digests all, as the time to compare what was sent would tell its length.
    assert [size for size, _ in compared] == [32] * 10
    assert len({other for _, other in compared}) == 10


@pytest.mark.parametrize(("key", "key_id"), [(b"first", "v1"), (b"second", "v2")])
async def test_every_enabled_version_counts(ring, key, key_id):
    assert await ring.identify(key) == key_id
    assert ring.known(key) == key_id


@pytest.mark.parametrize(
    "key",
    [None, b"", b"third", b"firs", b"first ", b"first\x00", b"f\xc3\xafrst", b"k" * 513],
    ids=["missing", "empty", "unknown", "prefix", "space", "NUL", "not ASCII", "too long"],
)
async def test_any_other_key_is_unknown(ring, key):
    await ring.refresh()
    assert ring.known(key) is None
    with pytest.raises(UnknownKeyError):
        await ring.identify(key)


async def test_a_key_may_have_512_characters(ring, store):
    store.payloads = [b"k" * 512]
    assert await ring.identify(b"k" * 512) == "v1"
    assert ring.known(b"k" * 513) is None


async def test_a_missing_key_is_unknown_even_before_the_keys_are(ring, store):
    store.status = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(UnknownKeyError):
        await ring.identify(None)
    assert store.reads == 0


@pytest.mark.parametrize("status", [s for s in grpc.StatusCode if s is not grpc.StatusCode.OK])
async def test_keys_that_were_never_read_are_unavailable(ring, store, clock, status):
    store.status = status
    with pytest.raises(KeysUnavailableError):
        await ring.identify(b"first")
    with pytest.raises(KeysUnavailableError):
        await ring.identify(b"first")
    assert store.reads == 1  # at most one try a second
    store.status = None
    clock.now += 1
    assert await ring.identify(b"first") == "v1"


async def test_an_outage_is_ridden_out_and_then_fails_closed(ring, store, clock):
    await ring.refresh()
    store.status = grpc.StatusCode.UNAVAILABLE
    clock.now += 900
    await ring.refresh()
    assert ring.known(b"first") == "v1"
    clock.now += 0.1
    assert ring.known(b"first") is None
    with pytest.raises(KeysUnavailableError):
        await ring.identify(b"first")
    store.status = None
    clock.now += 1
    assert await ring.identify(b"first") == "v1"


async def test_whatever_else_goes_wrong_is_an_outage_too(ring, store, caplog):
    store.error = RuntimeError("a value")
    await ring.refresh()
    assert not ring.is_usable


async def test_a_disabled_version_ends_and_a_new_one_begins(ring, store, clock):
    await ring.refresh()
    store.payloads = [b"third"]
    await ring.refresh()
    assert ring.known(b"first") is None
    assert ring.known(b"third") == "v1"


async def test_an_unknown_key_causes_one_read_every_five_seconds(ring, store, clock):
    await ring.refresh()
    clock.now += 4.9
    for _ in range(3):
        with pytest.raises(UnknownKeyError):
            await ring.identify(b"third")
    assert store.reads == 1
    clock.now += 0.1
    store.payloads.append(b"third")
    assert await ring.identify(b"third") == "v3"
    assert store.reads == 2


async def test_a_flood_of_first_requests_reads_once(ring, store):
    store.gate = asyncio.Event()
    requests = [asyncio.create_task(ring.identify(b"first")) for _ in range(50)]
    await asyncio.sleep(0)
    requests[0].cancel()
    await asyncio.sleep(0)
    store.gate.set()
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == ["v1"] * 49
    assert store.reads == 1


async def test_the_background_reads_until_it_is_cancelled(store, clock, monkeypatch):
    ring = KeyRing(SECRET, store, refresh_seconds=0.001, max_stale_seconds=1, clock=clock)
    task = asyncio.create_task(ring.keep_fresh())
    store.status = grpc.StatusCode.INTERNAL
    await until(lambda: store.reads >= 3)
    store.status = None
    await until(lambda: ring.is_usable)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("payload", "keys"),
    [
        (b"raw-key", {"v7": b"raw-key"}),
        (b"raw-key\n", {"v7": b"raw-key"}),
        (b'{"acme": "k1", "st. mary": "k2"}', {"acme": b"k1", "st. mary": b"k2"}),
        (b"{}", {}),
    ],
)
def test_a_payload_is_one_raw_key_or_many_with_ids(payload, keys):
    assert parse_payload(SecretVersion("7", payload)) == keys


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" \n",
        b"two words",
        b"\xff\xfe",
        b"k\xc3\xa9y",
        b"{not json",
        b'{"acme": 1}',
        b'{"acme": ""}',
        b'{"": "k"}',
        b'{"a\\nb": "k"}',
        b"k" * 513,
    ],
)
async def test_garbage_is_skipped_and_logged_by_its_version_alone(ring, store, caplog, payload):
    store.payloads = [b"good", payload]
    with caplog.at_level(logging.WARNING):
        assert await ring.identify(b"good") == "v1"
    assert len(ring) == 1
    assert [record.fields for record in caplog.records] == [{"secret": SECRET, "version": "2"}]
    assert payload.decode("latin-1").strip() not in caplog.text or not payload.strip()


def test_neither_keys_nor_payloads_show_in_a_repr():
    assert repr(Key("acme", b"digest")) == "Key(key_id='acme', digest=***)"
    assert "secret" not in repr(SecretVersion("1", b"secret"))
