"""Audit events through BigQuery and back, and the command that checks them."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from functions.hash_chain import Chain
from ops.__main__ import main
from tests.fixtures.ops import OPS_DATASET
from tests.unit.ops.test_audit_chain import event

HOUR_AGO, HALF_HOUR_AGO = (datetime.now(UTC) - timedelta(minutes=m) for m in (60, 30))


@pytest.fixture
def chain():
    return Chain()


@pytest.fixture
def rows(chain, warehouse):
    rows = [orjson.loads(chain.seal(event(number, HOUR_AGO))) for number in range(5)]
    system = {"schema_version": 1, "publish_ts": rows[0]["created_ts"]}
    warehouse.insert("audit_log", *(row | system for row in rows))
    return rows


@pytest.fixture
def verify(stack_file, capsys):
    def run(*options):
        code = main(["audit", "verify", "--stack", str(stack_file), *options])
        return code, capsys.readouterr().out

    return run


@pytest.mark.usefixtures("rows")
def test_values_come_back_as_they_were_hashed(verify):
    code, printed = verify()

    assert code == 0
    assert "Whole: 5 events of 1 writers" in printed


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        ("UPDATE {} SET accepted = 9 WHERE sequence = 2", "changed"),
        ("UPDATE {} SET rejected_rules = [] WHERE sequence = 2", "changed"),
        ("DELETE FROM {} WHERE sequence = 2", "missing"),
        ("DELETE FROM {} WHERE sequence < 2", "missing"),
        ("UPDATE {} SET sequence = 7 - sequence WHERE sequence IN (3, 4)", "changed"),
        ("UPDATE {} SET previous_hash = hash WHERE sequence = 1", "changed"),
    ],
)
@pytest.mark.usefixtures("rows")
def test_tampering_is_found(verify, warehouse, tamper, kind):
    warehouse.query(tamper.format(f"{OPS_DATASET}.audit_log"))

    code, printed = verify()

    assert code == 1
    assert kind in printed
    assert "NOT WHOLE" in printed


def test_cut_end_is_found_by_logged_heads(verify, warehouse, rows, tmp_path):
    heads = tmp_path / "heads.jsonl"
    heads.write_bytes(
        orjson.dumps({name: rows[4][name] for name in ("writer_id", "sequence", "hash")})
    )
    warehouse.query(f"DELETE FROM {OPS_DATASET}.audit_log WHERE sequence > 2")

    assert verify()[0] == 0
    code, printed = verify("--heads", str(heads))

    assert code == 1
    assert "cut off" in printed


@pytest.mark.usefixtures("rows")
def test_later_part_and_one_writer(verify, chain, warehouse):
    late = [orjson.loads(chain.seal(event(number, HALF_HOUR_AGO))) for number in range(5, 7)]
    system = {"schema_version": 1, "publish_ts": late[0]["created_ts"]}
    warehouse.insert("audit_log", *(row | system for row in late))

    assert "Whole: 2 events" in verify("--since", "40m")[1]
    assert "Whole: 7 events" in verify("--writer", chain.writer_id)[1]
    assert "Whole: 0 events of 0 writers" in verify("--writer", "another")[1]
    warehouse.query(f"DELETE FROM {OPS_DATASET}.audit_log WHERE sequence = 4")
    assert verify("--since", "40m")[0] == 1
