"""Reads the analysts' guide for its questions, so that the tour asks what the guide teaches."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

GUIDE = Path(__file__).parents[2] / "docs" / "analysts.md"

# A bold question on a line of its own, and the query under it.
_QUESTION = re.compile(
    r"^\*\*(?P<text>[^*]+\?)\*\*\n+```sql\n(?P<sql>.*?)^```", re.MULTILINE | re.DOTALL
)


class Question(NamedTuple):
    """A question in words and in SQL."""

    text: str
    sql: str


def questions(guide: Path = GUIDE) -> Iterator[Question]:
    """Yield the worked questions of the guide in their order."""
    for match in _QUESTION.finditer(guide.read_text()):
        yield Question(match["text"], match["sql"])
