from datetime import date

import pytest
from google.api_core import exceptions

from ops.pace import Pace
from ops.replayable import Replayable
from ops.replayer import BATCH_BYTES, BATCH_MESSAGES, Replayer, ReplayStoppedError
from ops.resume_file import ResumeFile

SECRET = "SSN 078-05-1120"


def item(number=0, resource="patients", data=b"{}", attributes=None):
    day = date(2026, 1, 2)
    return Replayable(resource, "row_refused", day, data, attributes or {}, f"m-{number}")


class FakePublisher:
    """Takes what is published; raises what the script says first."""

    def __init__(self, *script):
        self.script = list(script)
        self.requests = []

    def publish(self, request, retry, timeout):
        assert timeout > 0

        def call():
            error = self.script.pop(0) if self.script else None
            if error:
                raise error
            self.requests.append(request)

        retry(call)()

    @property
    def batches(self):
        return [(r["topic"], len(r["messages"])) for r in self.requests]


class FakePace(Pace):
    def __init__(self, rate=None):
        super().__init__(rate)
        self.waits = []

    def wait(self, records):
        self.waits.append(records)


def replayer(publisher, pace=None, resume=None, retry_seconds=0.5):
    return Replayer(publisher, lambda t: f"topics/{t}", pace or FakePace(), resume, retry_seconds)


def test_batches_are_bounded_and_of_one_topic():
    publisher = FakePublisher()
    large = bytes(BATCH_BYTES // 2)
    items = [
        *(item(n) for n in range(BATCH_MESSAGES + 1)),
        *(item(n, "plans") for n in range(2)),
        *(item(n, "plans", large) for n in range(2)),
        item(0, "patients"),
    ]
    seen = []

    sent = replayer(publisher).run(items, seen.append)

    assert publisher.batches == [
        ("topics/patients", BATCH_MESSAGES),
        ("topics/patients", 1),
        ("topics/plans", 3),
        ("topics/plans", 1),
        ("topics/patients", 1),
    ]
    assert sent.messages == sent.records == sum(seen) == len(items)


def test_a_message_larger_than_a_batch_goes_alone():
    publisher = FakePublisher()

    replayer(publisher).run([item(data=bytes(2 * BATCH_BYTES)), item()], lambda _: None)

    assert [count for _, count in publisher.batches] == [1, 1]


@pytest.mark.parametrize(("rate", "most"), [(0.1, 1), (1, 1), (7.5, 7), (1e6, BATCH_MESSAGES)])
def test_batches_fit_the_rate(rate, most):
    publisher, pace = FakePublisher(), FakePace(rate)

    replayer(publisher, pace).run((item(n) for n in range(1_000)), lambda _: None)

    assert max(count for _, count in publisher.batches) == most
    assert sum(pace.waits) == 1_000


def test_packed_message_counts_its_records():
    pace = FakePace(10)
    packed = item(data=b"{}\n{}\n{}", attributes={"content_type": "application/x-ndjson"})

    sent = replayer(FakePublisher(), pace).run([packed, item()], lambda _: None)

    assert (sent.messages, sent.records) == (2, 4)
    assert pace.waits == [4]


def test_outage_is_ridden_out():
    publisher = FakePublisher(exceptions.ServiceUnavailable(SECRET), exceptions.Unknown(SECRET))

    replayer(publisher, retry_seconds=10).run([item()], lambda _: None)

    assert publisher.batches == [("topics/patients", 1)]


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        ([exceptions.NotFound(SECRET)], "NotFound"),
        ([exceptions.PermissionDenied(SECRET)], "PermissionDenied"),
        ([exceptions.ServiceUnavailable(SECRET)] * 50, "ServiceUnavailable, for too long"),
    ],
    ids=["topic", "permission", "outage"],
)
def test_refusal_stops_and_what_was_acknowledged_is_kept(tmp_path, errors, reason):
    path = tmp_path / "resume"
    publisher = FakePublisher(None, *errors)
    items = [item(n) for n in range(BATCH_MESSAGES + 1)]
    with ResumeFile(path, "test") as resume:
        run = replayer(publisher, resume=resume).run
        with pytest.raises(ReplayStoppedError) as caught:
            run(items, lambda _: None)

    assert str(caught.value) == f"topic patients: {reason}"
    assert ResumeFile(path, "test").marks == {f"m-{n}" for n in range(BATCH_MESSAGES)}


def test_misfits_are_left_and_told():
    publisher = FakePublisher()
    misfit = item(1, attributes={f"a{n}": "x" for n in range(101)})

    sent = replayer(publisher).run([item(0), misfit, item(2)], lambda _: None)

    assert (sent.messages, sent.misfits) == (2, ["m-1"])
