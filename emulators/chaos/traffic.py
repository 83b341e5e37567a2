"""Sends as producers do: singles, bulk, repeats; and keeps an account of what they are told."""

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

from emulators.chaos.account import Account
from schemas.registry import SCHEMAS_DIR, Resource

TIMEOUT_SECONDS: Final = 20.0
# How long one waits for something of the traffic: a machine may have much else to do.
PATIENCE_SECONDS: Final = 120.0
NO_ANSWER: Final = "no answer"
_REPEATS: Final = 4
_REPEAT_PAUSE_SECONDS: Final = 0.25
_JOIN_SECONDS: Final = 60.0

Record = dict[str, Any]


@dataclass(frozen=True)
class Mix:
    """What is sent, and how fast.

    Attributes:
        threads: Producers, each with a connection of its own.
        pause: Seconds of each between two requests.
        bulk_share: Of the requests, that many are bulk of `bulk_records`.
        invalid_share: Of the records, that many break their contract.
        repeatable_share: Of the requests, that many have an Idempotency-Key.
        repeat_share: Of the requests, that many are sent again with the same Idempotency-Key.
    """

    threads: int = 3
    pause: float = 0.05
    bulk_share: float = 0.12
    bulk_records: int = 250
    invalid_share: float = 0.0
    repeatable_share: float = 0.2
    repeat_share: float = 0.02


@dataclass(frozen=True)
class Sample:
    """One request's outcome; `at` is on time.monotonic."""

    at: float
    seconds: float
    answer: str
    records: int


class Traffic:
    """Sends within `with`, from threads, until `stop`.

    Args:
        url: The endpoint's base URL; the endpoint may be away and come back.
        keys: API keys by resource.
        resources: What is sent, each by its smallest example.
        seed: Of the choices; with more than one thread their order is the machine's.
    """

    def __init__(
        self,
        url: str,
        keys: Mapping[str, str],
        resources: Sequence[Resource],
        account: Account,
        *,
        mix: Mix | None = None,
        seed: int = 0,
    ) -> None:
        self.account = account
        self.samples: list[Sample] = []
        self._url, self._keys, self._resources = url, keys, resources
        self._mix = mix or Mix()
        self._seed = seed
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._good = {r.name: _example(r, "minimal.pass") for r in resources}
        self._bad = {r.name: _example(r, "*.fail") for r in resources}
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(self._mix.threads)
        ]
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the sending; what is under way is still answered."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
        if self._failure is not None:
            raise self._failure

    def wait_for(self, answer: str, since: float | None = None) -> float:
        """Wait for an answer to a request sent from now on; return when, on time.monotonic.

        Raises:
            TimeoutError: There was none.
        """
        started = time.monotonic() if since is None else since
        return self.wait_until(
            lambda: next(
                (
                    sample.at + sample.seconds
                    for sample in reversed(self.samples)
                    if sample.answer == answer and sample.at >= started
                ),
                None,
            ),
            f"an answer {answer}",
        )

    def wait_for_records(self, count: int) -> None:
        """Wait until so many records are accepted in all."""
        self.wait_until(lambda: 1.0 if self.account.accepted >= count else None, f"{count} records")

    def wait_until(self, look: Callable[[], float | None], what: str) -> float:
        """Look again and again for something that is not None; raises TimeoutError."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := look()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"not within {PATIENCE_SECONDS:.0f} s: {what}: {self.account.answers}"
                )
            time.sleep(0.02)
        return found

    def _run(self, number: int) -> None:
        choose = random.Random(self._seed * 1000 + number)  # noqa: S311  (not for secrecy)
        try:
            with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
                while not self._stop.is_set():
                    self._request(client, choose)
                    self._stop.wait(self._mix.pause * choose.uniform(0.5, 1.5))
        except Exception as error:  # noqa: BLE001  (`stop` raises it in its caller's thread)
            self._failure = error

    def _request(self, client: httpx.Client, choose: random.Random) -> None:
        mix, number = self._mix, next(self._numbers)
        resource = choose.choice(self._resources)
        count = mix.bulk_records if choose.random() < mix.bulk_share else 1
        records = [self._record(resource, number, index, choose) for index in range(count)]
        headers = {"x-api-key": self._keys[resource.name]}
        repeats = 0
        if choose.random() < mix.repeatable_share:
            headers["idempotency-key"] = f"{self.account.run}-{number}"
            repeats = _REPEATS
        answer = self._send(client, resource, records, headers)
        while answer[0] in "5n" and repeats and not self._stop.wait(_REPEAT_PAUSE_SECONDS):
            answer = self._send(client, resource, records, headers)
            repeats -= 1
        if "idempotency-key" in headers and choose.random() < (
            mix.repeat_share / mix.repeatable_share
        ):
            self._send(client, resource, records, headers)

    def _record(
        self, resource: Resource, number: int, index: int, choose: random.Random
    ) -> tuple[str, Record]:
        """Return a record and its key; the key is empty where the record is to be refused."""
        if choose.random() < self._mix.invalid_share:
            return "", choose.choice(self._bad[resource.name])
        key = f"{self.account.run}-{number}-{index}"
        return key, {**choose.choice(self._good[resource.name]), resource.key[0]: key}

    def _send(
        self,
        client: httpx.Client,
        resource: Resource,
        records: Sequence[tuple[str, Record]],
        headers: Mapping[str, str],
    ) -> str:
        """Send one request and note its answer: the status, with its code if it is 5xx."""
        if len(records) == 1:
            body, media = json.dumps(records[0][1]), "application/json"
        else:
            body = "\n".join(json.dumps(record) for _, record in records)
            media = "application/x-ndjson"
        started = time.monotonic()
        try:
            response: httpx.Response | None = client.post(
                f"{self._url}/v1/{resource.name}",
                content=body,
                headers={**headers, "content-type": media},
            )
        except httpx.TransportError:
            response = None
            self._stop.wait(_REPEAT_PAUSE_SECONDS)  # nobody asks a dead endpoint without end
        answer = _named(response)
        keys = [key for key, _ in records if key]
        if response is not None and response.status_code == httpx.codes.ACCEPTED:
            entries = response.json()["records"]
            ids = {e["event_id"]: records[e["index"]][0] for e in entries if "event_id" in e}
            self.account.accept(resource.name, ids, rejected=len(entries) - len(ids))
        elif response is None or response.is_server_error:
            self.account.doubt(answer, resource.name, keys)
        else:
            self.account.reject(answer, len(records))
        seconds = time.monotonic() - started
        self.samples.append(Sample(started, seconds, answer, len(records)))
        return answer


def _named(response: httpx.Response | None) -> str:
    if response is None:
        return NO_ANSWER
    status = str(response.status_code)
    return status if response.is_success else f"{status} {response.json()['code']}"


def _example(resource: Resource, pattern: str) -> list[Record]:
    """Return the bundled examples whose names match, of those that stand for themselves."""
    folder = SCHEMAS_DIR / "examples" / resource.name
    return [json.loads(path.read_bytes()) for path in sorted(folder.glob(f"{pattern}.json"))]
