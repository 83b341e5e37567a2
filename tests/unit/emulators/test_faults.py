import threading
import time

import grpc
import pytest

from emulators.faults import NO_FAULT, BadRuleError, FaultInjector, FaultRule, RowRefusal

SERVICES = {"pubsub": ["Publish", "Pull"], "secret_manager": ["AccessSecretVersion"]}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "a rule is a JSON object"),
        ("UNAVAILABLE", "a rule is a JSON object"),
        ({}, "nothing would happen"),
        ({"calls": 3}, "nothing would happen"),
        ({"state": "UNAVAILABLE"}, "unknown property 'state'"),
        ({"status": "BROKEN"}, "status is one of"),
        ({"status": "OK"}, "status is one of"),
        ({"status": ["UNAVAILABLE"]}, "status is one of"),
        ({"status": "INTERNAL", "calls": 0}, "calls is a whole number from 1"),
        ({"status": "INTERNAL", "calls": 1.5}, "calls is a whole number from 1"),
        ({"status": "INTERNAL", "calls": True}, "calls is a whole number from 1"),
        ({"status": "INTERNAL", "seconds": 0}, "seconds is a number above 0"),
        ({"status": "INTERNAL", "seconds": "1"}, "seconds is a number above 0"),
        ({"latency_ms": -1}, "latency_ms is a number"),
        ({"latency_ms": 600_001}, "latency_ms is a number"),
        ({"latency_ms": True}, "latency_ms is a number"),
        ({"latency_ms": 5, "after_effect": True}, "after_effect needs"),
        ({"drop_connection": "yes"}, "drop_connection is true or false"),
        ({"status": "INTERNAL", "service": ""}, "service is a non-empty string"),
        ({"status": "INTERNAL", "method": 3}, "method is a non-empty string"),
        ({"status": "INTERNAL", "service": "storage"}, "service is \\* or one of pubsub"),
        ({"status": "INTERNAL", "method": "Push"}, "method is \\* or one of"),
        (
            {"status": "INTERNAL", "service": "secret_manager", "method": "Publish"},
            "method is \\* or one of AccessSecretVersion",
        ),
        ({"refuse_rows": {"table": "t"}}, "refuse_rows is an object"),
        ({"refuse_rows": {"table": 1, "column": "c", "value": 1}}, "refuse_rows names"),
    ],
    ids=str,
)
def test_rule_that_cannot_be_meant_is_refused(document, reason):
    with pytest.raises(BadRuleError, match=reason):
        FaultInjector(SERVICES).add(document)


def test_rule_with_several_problems_names_them_all():
    with pytest.raises(BadRuleError) as caught:
        FaultRule.parse({"status": "BROKEN", "calls": 0, "latency_ms": -1})
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    "document",
    [
        {"status": "UNAVAILABLE"},
        {"service": "pubsub", "method": "Publish", "latency_ms": 5, "seconds": 1.5},
        {"drop_connection": True, "after_effect": True, "calls": 2},
        {"duplicate": True, "reorder": True},
        {"refuse_rows": {"table": "patients", "column": "city", "value": None}},
    ],
    ids=str,
)
def test_rule_reads_back_as_it_was_written(document):
    assert FaultRule.parse(document).as_dict() == document


def test_no_rule_is_no_fault():
    assert FaultInjector().take("pubsub", "Publish") is NO_FAULT


@pytest.mark.parametrize(
    ("rule", "strikes"),
    [
        ({}, True),
        ({"service": "pubsub"}, True),
        ({"method": "Publish"}, True),
        ({"service": "pubsub", "method": "Publish"}, True),
        ({"service": "secret_manager"}, False),
        ({"method": "Pull"}, False),
    ],
    ids=str,
)
def test_rule_strikes_where_it_says(rule, strikes):
    faults = FaultInjector(SERVICES)
    rule_id = faults.add({"status": "INTERNAL", **rule})
    fault = faults.take("pubsub", "Publish")
    assert fault.status is (grpc.StatusCode.INTERNAL if strikes else None)
    assert faults.fired(rule_id) == strikes


def test_calls_are_counted_down_and_firings_up():
    faults = FaultInjector()
    rule_id = faults.add({"status": "ABORTED", "calls": 2})
    assert [faults.take("s", "m").fails for _ in range(4)] == [True, True, False, False]
    assert faults.fired(rule_id) == 2
    [listed] = faults.rules()
    assert listed == {
        "id": rule_id,
        "status": "ABORTED",
        "calls": 2,
        "fired": 2,
        "active": False,
    }


def test_seconds_pass():
    faults = FaultInjector()
    faults.add({"status": "ABORTED", "seconds": 0.05})
    assert faults.take("s", "m").fails
    time.sleep(0.06)
    assert not faults.take("s", "m").fails


def test_latencies_add_up_and_the_first_failure_wins():
    faults = FaultInjector()
    faults.add({"latency_ms": 100})
    faults.add({"latency_ms": 50, "status": "ABORTED", "calls": 1})
    later = faults.add({"drop_connection": True, "after_effect": True, "calls": 1})
    first = faults.take("s", "m")
    assert (first.latency, first.status, first.drop) == (
        pytest.approx(0.15),
        grpc.StatusCode.ABORTED,
        False,
    )
    # The second failure has not been used up by a call that failed otherwise.
    assert faults.fired(later) == 0
    second = faults.take("s", "m")
    assert (second.status, second.drop, second.after_effect) == (None, True, True)


def test_delivery_faults_are_none_of_a_calls_business():
    faults = FaultInjector()
    rule_id = faults.add({"duplicate": True, "calls": 1})
    assert faults.take("pubsub", "Pull") == NO_FAULT
    assert faults.take_delivery("pubsub", "Pull") == {"duplicate"}
    assert faults.take_delivery("pubsub", "Pull") == set()
    assert faults.fired(rule_id) == 1


@pytest.mark.parametrize(
    ("table", "row", "refused"),
    [
        ("patients", {"city": "Ulm"}, True),
        ("patients", {"city": "Bonn"}, False),
        ("patients", {}, False),
        ("claims", {"city": "Ulm"}, False),
    ],
)
def test_rows_are_refused_by_table_and_value(table, row, refused):
    faults = FaultInjector()
    faults.add(FaultRule(refuse_rows=RowRefusal("patients", "city", "Ulm")))
    assert faults.refuses_row(table, row) is refused


def test_rules_end_when_they_are_removed():
    faults = FaultInjector()
    first, second = (faults.add({"status": "ABORTED"}) for _ in range(2))
    assert faults.remove(first)
    assert not faults.remove(first)
    assert [rule["id"] for rule in faults.rules()] == [second]
    faults.clear()
    assert faults.take("s", "m") is NO_FAULT


def test_threads_share_a_rule_exactly():
    faults = FaultInjector()
    rule_id = faults.add({"status": "ABORTED", "calls": 500})
    failures: list[int] = []

    def call():
        failures.append(sum(faults.take("s", "m").fails for _ in range(200)))

    threads = [threading.Thread(target=call) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(failures) == 500
    assert faults.fired(rule_id) == 500
