"""What a fault rule may say, checked in full before it is put in force."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import grpc

ANY: Final = "*"
STATUSES: Final = {code.name: code for code in grpc.StatusCode if code is not grpc.StatusCode.OK}
LATENCY_MAX_MS: Final = 600_000  # Ten minutes: longer than any client's deadline.


class BadRuleError(ValueError):
    """A rule that cannot be meant as it stands; `problems` has one sentence for each reason."""

    def __init__(self, problems: Collection[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class RowRefusal:
    """Rows of `table` whose `column` holds `value` are refused; table `*` is every table."""

    table: str
    column: str
    value: Any

    def matches(self, table: str, row: Mapping[str, Any]) -> bool:
        """Whether this row of this table is to be refused."""
        named = self.table in (ANY, table)
        return named and self.column in row and bool(row[self.column] == self.value)


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One fault: where it strikes, what happens, and for how long.

    Without `calls` and `seconds` it lasts until it is removed; with both, until the first runs out.
    A call is one unary call or one message of a bidirectional stream; for `duplicate` and
    `reorder` one delivery (an answer that holds messages), for `refuse_rows` one refused row.
    """

    service: str = ANY
    method: str = ANY
    status: str | None = None
    latency_ms: float = 0
    drop_connection: bool = False
    after_effect: bool = False  # The work is done, and then the status or the drop is the answer.
    duplicate: bool = False
    reorder: bool = False
    refuse_rows: RowRefusal | None = None
    calls: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if found := self._problems():
            raise BadRuleError(found)

    @classmethod
    def parse(cls, document: object) -> "FaultRule":
        """Reads a rule from JSON; raises BadRuleError with every reason why it cannot."""
        if not isinstance(document, Mapping):
            raise BadRuleError(["a rule is a JSON object"])
        known = {field.name for field in fields(cls)}
        if unknown := sorted(str(name) for name in document if name not in known):
            raise BadRuleError([f"unknown property {name!r}" for name in unknown])
        values = dict(document)
        if (refusal := values.get("refuse_rows")) is not None:
            wanted = {field.name for field in fields(RowRefusal)}
            if not isinstance(refusal, Mapping) or set(refusal) != wanted:
                raise BadRuleError([f"refuse_rows is an object with {sorted(wanted)}"])
            if not all(isinstance(refusal[name], str) for name in ("table", "column")):
                raise BadRuleError(["refuse_rows names its table and its column by strings"])
            values["refuse_rows"] = RowRefusal(**refusal)
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """The rule as JSON, without what it leaves at its default."""
        written: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                written[field.name] = value
        if self.refuse_rows is not None:
            refusal = self.refuse_rows
            written["refuse_rows"] = {name: getattr(refusal, name) for name in refusal.__slots__}
        return written

    @property
    def fails(self) -> bool:
        """Whether the call ends in an error or a broken connection."""
        return self.status is not None or self.drop_connection

    def _problems(self) -> list[str]:
        problems = [
            f"{name} is a non-empty string"
            for name in ("service", "method")
            if not (isinstance(getattr(self, name), str) and getattr(self, name))
        ]
        problems += [
            f"{name} is true or false"
            for name in ("drop_connection", "after_effect", "duplicate", "reorder")
            if not isinstance(getattr(self, name), bool)
        ]
        if self.status is not None and not (
            isinstance(self.status, str) and self.status in STATUSES
        ):
            problems.append(f"status is one of {', '.join(STATUSES)}")
        if not _is_number(self.latency_ms) or not 0 <= self.latency_ms <= LATENCY_MAX_MS:
            problems.append(f"latency_ms is a number from 0 to {LATENCY_MAX_MS}")
        if self.calls is not None and (type(self.calls) is not int or self.calls < 1):
            problems.append("calls is a whole number from 1")
        if self.seconds is not None and (not _is_number(self.seconds) or self.seconds <= 0):
            problems.append("seconds is a number above 0")
        if self.after_effect and not self.fails:
            problems.append("after_effect needs a status or drop_connection")
        if not (
            self.fails or self.latency_ms or self.duplicate or self.reorder or self.refuse_rows
        ):
            problems.append(
                "nothing would happen: give status, latency_ms, drop_connection, duplicate, "
                "reorder or refuse_rows"
            )
        return problems


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
