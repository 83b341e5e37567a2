import asyncio
import signal
import threading

import pytest

from functions import stopping as stopping_module
from functions.stopping import Stopping


@pytest.fixture
def _sigterm_as_before():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def _in_no_time(monkeypatch):
    monkeypatch.setattr(stopping_module, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(stopping_module, "BODY_SECONDS", 0.1)


@pytest.mark.usefixtures("_sigterm_as_before", "_in_no_time")
async def test_the_server_learns_of_the_signal_after_a_pause():
    events: list[str] = []
    signal.signal(signal.SIGTERM, lambda *_: events.append("server"))
    stopping = Stopping(lambda: events.append("hurry"))
    stopping.listen()
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0.01)
    assert stopping.has_begun
    assert events == []
    await asyncio.sleep(0.2)
    assert events == ["server", "hurry"]


@pytest.mark.usefixtures("_sigterm_as_before", "_in_no_time")
async def test_a_second_signal_is_passed_on_at_once():
    events: list[str] = []
    signal.signal(signal.SIGTERM, lambda *_: events.append("server"))
    Stopping(lambda: None).listen()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert events == ["server"]
    await asyncio.sleep(0.1)
    assert events == ["server", "server"]


class Server:
    """What is used of uvicorn's."""

    def __init__(self) -> None:
        self.should_exit = False
        self.servers = [self]
        self.events: list[str] = []

    def close(self) -> None:
        self.events.append("no longer listens")

    def handle_exit(self, *_: object) -> None:
        self.events.append("stops")


@pytest.mark.usefixtures("_sigterm_as_before", "_in_no_time")
async def test_no_connection_is_taken_any_more():
    server = Server()
    signal.signal(signal.SIGTERM, server.handle_exit)
    Stopping(lambda: None).listen()
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0.2)
    assert server.events == ["no longer listens", "stops"]


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.usefixtures("_sigterm_as_before")
async def test_a_worker_may_be_told_to_stop_before_its_first_request(told):
    server = Server()
    server.should_exit = told
    signal.signal(signal.SIGTERM, server.handle_exit)
    stopping = Stopping(lambda: None)
    stopping.listen()
    assert stopping.has_begun is told


@pytest.mark.usefixtures("_sigterm_as_before")
async def test_without_a_server_the_signal_stays_as_it_is():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Stopping(lambda: None).listen()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("_sigterm_as_before")
def test_beside_the_main_thread_the_signal_stays_as_it_is():
    def server(*_: object) -> None: ...

    signal.signal(signal.SIGTERM, server)
    thread = threading.Thread(target=Stopping(lambda: None).listen)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is server


async def test_while_it_stops_every_answer_closes_its_connection(make_producer):
    producer = await make_producer("patients")
    assert "connection" not in (await producer.get("/livez")).headers
    producer.app.stopping.has_begun = True
    for path in ("/livez", "/readyz", "/nothing"):
        assert (await producer.get(path)).headers["connection"] == "close"
    assert (await producer.get("/readyz")).json()["failed"] == ["shutdown"]
