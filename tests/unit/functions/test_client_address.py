import pytest

from functions.client_address import ClientHash, client_address
from functions.exchange import Exchange


def exchange(*forwarded: str, peer: bytes = b"10.0.0.1") -> Exchange:
    async def receive() -> None: ...

    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return Exchange(headers, receive, "the-request", peer)


@pytest.mark.parametrize(
    ("position", "forwarded", "expected"),
    [
        (0, ["203.0.113.7"], b"10.0.0.1"),
        (1, [], b"10.0.0.1"),
        (1, ["203.0.113.7"], b"203.0.113.7"),
        (1, ["forged, 203.0.113.7"], b"203.0.113.7"),
        (1, ["forged", "203.0.113.7"], b"203.0.113.7"),
        (2, ["forged,203.0.113.7,35.191.0.1"], b"203.0.113.7"),
        (2, ["35.191.0.1"], b"10.0.0.1"),
    ],
)
def test_address_is_counted_from_the_right(position, forwarded, expected):
    assert client_address(exchange(*forwarded), position) == expected


def test_hash_is_the_same_for_a_day_in_one_process_alone():
    now = 0.0
    hashes = ClientHash(1, lambda: now)
    first = hashes(exchange("203.0.113.7"))
    now = 86_399.0
    assert hashes(exchange("203.0.113.7")) == first
    assert hashes(exchange("203.0.113.8")) != first
    assert ClientHash(1)(exchange("203.0.113.7")) != first
    now = 86_400.0
    assert hashes(exchange("203.0.113.7")) != first


def test_addresses_without_number_take_bounded_memory(monkeypatch):
    monkeypatch.setattr("functions.client_address._CACHE_ADDRESSES", 10)
    hashes = ClientHash(1)
    for number in range(100):
        hashes(exchange(f"203.0.113.{number}"))
    assert len(hashes._known) <= 10
