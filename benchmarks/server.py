"""Runs one server, loads it, and says what that cost per record."""

import http.client
import json
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks import process_tree
from benchmarks.children import MEASURED_CORE, Child, ChildError
from benchmarks.contenders import Contender
from benchmarks.load import Load, Outcome
from benchmarks.ports import HOST, free_port
from benchmarks.sinks import Sinks

_START_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Shot:
    """One load on one server.

    Attributes:
        records: How many the sink counted.
        expected: How many it should have.
        cpu_seconds: Of the server's processes, user and system.
        memory_mb: The largest resident set of all of them so far.
        unexpected: Answers with another status than this load was to get.
    """

    records: int
    expected: int
    cpu_seconds: float
    memory_mb: float
    outcome: Outcome
    unexpected: int = 0

    @property
    def void(self) -> str | None:
        """Why this run does not count, if it does not."""
        if self.outcome.broken:
            return f"{self.outcome.broken} request(s) got no answer"
        if self.records != self.expected:
            return f"{self.expected} records were accepted, {self.records} arrived"
        if self.unexpected:
            return f"{self.unexpected} answer(s) had another status"
        if not self.outcome.answered:
            return "nothing was answered"
        return None


class Server:
    """A contender that runs; a context manager.

    Args:
        contender: What to start.
        sinks: What it publishes to.
        env: Variables beside the contender's and the sinks'.
        core: Where it runs; anywhere if None.
    """

    def __init__(
        self,
        contender: Contender,
        sinks: Sinks,
        env: Mapping[str, str] | None = None,
        core: int | None = MEASURED_CORE,
    ) -> None:
        self.contender = contender
        self.port = free_port()
        self._sinks = sinks
        own = {"PORT": str(self.port), "HOST": HOST}
        self._child = Child(
            contender.name,
            contender.command(self.port),
            {**sinks.env, **own, **contender.env, **(env or {})},
            core=core,
            is_asked=False,
        )

    def __enter__(self) -> "Server":
        self.start()
        try:
            self.wait_for_answer(b"")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, without waiting."""
        self._child.start()

    def stop(self) -> None:
        """End it."""
        self._child.stop()

    @property
    def pid(self) -> int:
        """The root of its processes."""
        return self._child.pid

    def wait_for_answer(self, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Wait until it answers a request at all, and return the status."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
            try:
                connection.request("POST", self.contender.path, body, dict(headers or {}))
                return connection.getresponse().status
            except (OSError, http.client.HTTPException):
                self._child.check()
                if time.monotonic() > deadline:
                    raise ChildError(f"{self.contender.name} does not answer") from None
                time.sleep(_LOOK_SECONDS)
            finally:
                connection.close()

    def fire(self, load: Load, per_request: float, allowed: Collection[str] = ()) -> Shot:
        """Send a load.

        Args:
            load: What to send; its port is this server's.
            per_request: How many records of each accepted request are to arrive.
            allowed: Statuses beside the contender's own that are in order.
        """
        before, cpu = self._sinks.counts(), process_tree.cpu_seconds(self.pid)
        outcome = run_load(load)
        used = process_tree.cpu_seconds(self.pid) - cpu
        arrived = self._sinks.counts().since(before)
        self._child.check()
        answered = outcome.statuses.get(self.contender.status, 0)
        expected = round(answered * per_request) if self.contender.publishes else 0
        return Shot(
            records=arrived.records,
            expected=expected,
            cpu_seconds=used,
            memory_mb=process_tree.peak_memory(self.pid) / 1e6,
            outcome=outcome,
            unexpected=outcome.answered
            - answered
            - sum(outcome.statuses.get(status, 0) for status in allowed),
        )


def run_load(load: Load) -> Outcome:
    """Run the load generator in a process of its own."""
    with Child("load", [sys.executable, "-m", "benchmarks.load"]) as child:
        return Outcome(**json.loads(child.ask(json.dumps(asdict(load)))))
