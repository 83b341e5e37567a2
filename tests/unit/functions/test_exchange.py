import pytest

from functions.exchange import Exchange

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def exchange(*headers: tuple[bytes, bytes]) -> Exchange:
    async def receive() -> None: ...

    return Exchange(list(headers), receive, "the-request")


def test_a_header_that_stands_twice_is_not_single():
    twice = exchange((b"x-api-key", b"a"), (b"x-api-key", b"a"), (b"accept", b"*/*"))
    assert twice.single(b"x-api-key") is None
    assert twice.single(b"accept") == b"*/*"
    assert twice.single(b"host") is None


def test_a_list_header_is_joined():
    assert exchange((b"a", b"1"), (b"b", b"2"), (b"a", b"3")).joined(b"a") == b"1, 3"
    assert exchange((b"a", b"1"), (b"b", b"2")).joined(b"a") == b"1"
    assert exchange((b"a", b"1"), (b"a", b"2")).joined(b"c") is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([(b"traceparent", PARENT)], PARENT),
        ([(b"traceparent", PARENT.upper())], None),
        ([(b"traceparent", PARENT + b"-x")], None),
        ([(b"traceparent", b"01" + PARENT[2:])], None),
        ([(b"traceparent", PARENT.replace(TRACE, b"0" * 32))], None),
        ([(b"traceparent", b"00-" + TRACE + b"-" + b"0" * 16 + b"-01")], None),
        ([(b"traceparent", b"\xff")], None),
        ([(b"x-cloud-trace-context", TRACE + b"/67667974448284343;o=1")], PARENT),
        ([(b"x-cloud-trace-context", TRACE.upper() + b"/67667974448284343;o=1")], PARENT),
        ([(b"x-cloud-trace-context", TRACE + b"/67667974448284343")], PARENT[:-1] + b"0"),
        ([(b"x-cloud-trace-context", TRACE + b"/0;o=1")], None),
        ([(b"x-cloud-trace-context", TRACE + b"/18446744073709551616;o=1")], None),
        ([(b"x-cloud-trace-context", TRACE)], None),
        ([(b"traceparent", b"x"), (b"x-cloud-trace-context", TRACE + b"/1;o=1")], None),
    ],
)
def test_a_trace_is_passed_on_only_if_it_is_well_formed(headers, expected):
    traceparent = exchange(*headers).traceparent
    assert traceparent == (expected and expected.decode())


def test_log_lines_carry_the_trace_as_cloud_logging_wants_it():
    assert exchange((b"traceparent", PARENT)).log_fields("demo-project") == {
        "request_id": "the-request",
        "logging.googleapis.com/trace": f"projects/demo-project/traces/{TRACE.decode()}",
        "logging.googleapis.com/spanId": "00f067aa0ba902b7",
        "logging.googleapis.com/trace_sampled": True,
    }
    assert exchange().log_fields("demo-project") == {"request_id": "the-request"}
