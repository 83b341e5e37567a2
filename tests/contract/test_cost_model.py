"""The cost model's figures in docs/platform.md follow from its inputs and its arithmetic."""

import math
import re

import pytest

from functions.settings import Settings
from schemas import limits
from schemas.registry import load_registry
from tests.fixtures.images import ROOT

TEXT = (ROOT / "docs/platform.md").read_text()
SCENARIOS = ["1/s", "100/s", "10,000/s", "in bulk"]
FUNCTIONS = {"max": max, "min": min, "ceil": math.ceil}


def rows(table: str) -> list[list[str]]:
    """The cells of the table after the comment of that name, without its head."""
    lines = TEXT.partition(f"<!-- {table} -->\n")[2].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


PRICES = {row[0].strip("`"): float(row[1]) for row in rows("prices")}
ASSUMPTIONS = {row[0].strip("`"): float(row[1]) for row in rows("assumptions")}
COSTS = rows("costs")
# Names that the arithmetic gives to rows whose own are for people.
NAMES = {
    "**Cloud Run**, by request": "by_request",
    "**Cloud Run**, always allocated": "always_allocated",
}


def is_cost(label: str) -> bool:
    return not label.startswith(("`", "*"))


def figures(scenario: int) -> dict[str, float]:
    """Compute a column, row by row; each may use those above it."""
    known: dict[str, float] = PRICES | ASSUMPTIONS
    found: dict[str, float] = {}
    for label, arithmetic, *cells in COSTS:
        if not arithmetic.startswith("`"):
            value = float(cells[scenario])
        else:
            known["total"] = sum(cost for name, cost in found.items() if is_cost(name))
            # Our own document's arithmetic, with nothing within its reach.
            value = eval(arithmetic.strip("`"), {"__builtins__": {}}, FUNCTIONS | known)
        found[label] = known[NAMES.get(label, label.strip("`"))] = value
    return found


def shown(value: float) -> str:
    """As many digits as mean something."""
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


@pytest.mark.parametrize("scenario", range(len(SCENARIOS)), ids=SCENARIOS)
def test_figures_follow_from_the_inputs(scenario: int):
    printed = {row[0]: row[2 + scenario] for row in COSTS if row[1].startswith("`")}
    computed = figures(scenario)

    assert printed == {label: shown(computed[label]) for label in printed}


def test_every_input_is_used_and_every_price_says_when_it_was_read():
    arithmetic = " ".join(row[1] for row in COSTS)

    for name in PRICES | ASSUMPTIONS:
        assert re.search(rf"\b{name}\b", arithmetic), name
    for row in rows("prices"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d|undated|memory", row[3]), row


def test_assumptions_are_those_of_the_code():
    variables = "\n".join(path.read_text() for path in (ROOT / "terraform").glob("variables*.tf"))

    def default(setting: str) -> str:
        variable, name = setting.split(".")
        block = variables.partition(f'variable "{variable}" {{')[2].partition("\n}")[0]
        found = re.search(rf'{name} += optional\(\w+, "?([\w-]+)"?\)', block)
        assert found, setting
        return found[1]

    assert ASSUMPTIONS["resources"] == len(load_registry())
    assert ASSUMPTIONS["concurrency"] == float(default("endpoint.concurrency"))
    assert ASSUMPTIONS["memory_gib"] == float(default("endpoint.memory").removesuffix("Mi")) / 1024
    assert ASSUMPTIONS["kept_days"] == float(default("pubsub.retention_days"))
    assert default("pipeline.machine_type") == f"n2-standard-{ASSUMPTIONS['worker_vcpus']:.0f}"
    # An instance reads its keys once a minute.
    assert Settings(project_id="demo-project").key_refresh_seconds == 60
    assert limits.PACK_MAX_RECORDS == 500
