"""The language of subscription filters: https://cloud.google.com/pubsub/docs/subscription-message-filter.

    attributes:KEY            the message has the attribute
    attributes.KEY = "v"      it has this value
    attributes.KEY != "v"     it has another value, or is missing
    hasPrefix(attributes.KEY, "v")
    NOT x, -x; x AND y AND z; x OR y OR z; (x)

AND and OR do not mix without parentheses. A KEY of other than letters, digits, `_` and `-` is
written as a string; the keywords are in capitals.
"""

import ast
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from emulators.rpc import StatusError, invalid

Attributes: TypeAlias = Mapping[str, str]
Predicate: TypeAlias = Callable[[Attributes], bool]

MAX_FILTER_BYTES: Final = 256
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT"})
_END: Final = ("end", "")
_ESCAPE: Final = (
    r"""\\(?:[\\"'abfnrtv]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[0-3]?[0-7]{1,2})"""
)
_TOKEN: Final = re.compile(
    rf"""\s*(?:(?P<string>"(?:[^"\\\n]|{_ESCAPE})*")|(?P<word>[A-Za-z0-9_][A-Za-z0-9_-]*)"""
    r"""|(?P<symbol>!=|[():.,=-]))"""
)


def parse_filter(text: str) -> Predicate | None:
    """The predicate over a message's attributes, or None where every message passes.

    Raises StatusError INVALID_ARGUMENT, which says where the filter goes wrong.
    """
    if len(text.encode()) > MAX_FILTER_BYTES:
        raise invalid(f"filter is longer than {MAX_FILTER_BYTES} bytes")
    if not text.strip():
        return None
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str, int]] = []
        position = 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._error(position, "this character has no meaning here")
            kind = match.lastgroup or ""
            self._tokens.append((kind, match[kind], match.start(kind)))
            position = match.end()
        self._next = 0

    def parse(self) -> Predicate:
        predicate = self._expression()
        if self._peek() != _END:
            raise self._error_here("expected AND, OR or the end")
        return predicate

    def _expression(self) -> Predicate:
        terms = [self._term()]
        operator = self._peek()[1]
        while self._peek() in (("word", "AND"), ("word", "OR")):
            if self._peek()[1] != operator:
                raise self._error_here("AND and OR need parentheses to be mixed")
            self._next += 1
            terms.append(self._term())
        if len(terms) == 1:
            return terms[0]
        combine = all if operator == "AND" else any
        return lambda attributes: combine(term(attributes) for term in terms)

    def _term(self) -> Predicate:
        if self._take("word", "NOT") or self._take("symbol", "-"):
            negated = self._term()
            return lambda attributes: not negated(attributes)
        if self._take("symbol", "("):
            inner = self._expression()
            self._expect("symbol", ")")
            return inner
        if self._take("word", "hasPrefix"):
            return self._prefix()
        self._expect("word", "attributes")
        if self._take("symbol", ":"):
            key = self._key()
            return lambda attributes: key in attributes
        key = self._dotted_key()
        if self._take("symbol", "="):
            value = self._string()
            return lambda attributes: attributes.get(key) == value
        self._expect("symbol", "!=")
        value = self._string()
        return lambda attributes: attributes.get(key) != value

    def _prefix(self) -> Predicate:
        self._expect("symbol", "(")
        self._expect("word", "attributes")
        key = self._dotted_key()
        self._expect("symbol", ",")
        prefix = self._string()
        self._expect("symbol", ")")
        return lambda attributes: attributes.get(key, "").startswith(prefix) and key in attributes

    def _dotted_key(self) -> str:
        self._expect("symbol", ".")
        return self._key()

    def _key(self) -> str:
        kind, text = self._peek()
        if kind == "string":
            return self._string()
        if kind != "word" or text in _KEYWORDS:
            raise self._error_here("expected the key of an attribute")
        self._next += 1
        return text

    def _string(self) -> str:
        kind, text = self._peek()
        if kind != "string":
            raise self._error_here('expected a string in "double quotes"')
        try:
            value: str = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            raise self._error_here("this string has an escape that means nothing") from None
        self._next += 1
        return value

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._next][:2] if self._next < len(self._tokens) else _END

    def _take(self, kind: str, text: str) -> bool:
        found = self._peek() == (kind, text)
        self._next += found
        return found

    def _expect(self, kind: str, text: str) -> None:
        if not self._take(kind, text):
            raise self._error_here(f"expected {text}")

    def _error_here(self, reason: str) -> StatusError:
        at_end = self._next >= len(self._tokens)
        return self._error(len(self._text) if at_end else self._tokens[self._next][2], reason)

    def _error(self, position: int, reason: str) -> StatusError:
        return invalid(f"Invalid filter, at character {position + 1}: {reason}")
