"""Which secrets and versions a list's filter names: https://cloud.google.com/secret-manager/docs/filtering.

Of that language: one `name:PART` or `labels.KEY=VALUE` for secrets, one `state:STATE` or
`state=STATE` for versions. Anything else is refused, never ignored.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from emulators.rpc import invalid, unimplemented
from emulators.secret_manager.vault import Secret, State, Version

_NAME: Final = re.compile(r"name:(?P<part>[\w/-]+)")
_LABEL: Final = re.compile(r'labels\.(?P<key>[\w-]+)\s*[:=]\s*"?(?P<value>[\w-]+)"?')
_STATE: Final = re.compile(r'state\s*[:=]\s*"?(?P<state>\w+)"?')


def secret_filter(text: str) -> Callable[[Secret], bool]:
    """The predicate; raises StatusError."""
    text = text.strip()
    if not text:
        return lambda _: True
    if match := _NAME.fullmatch(text):
        part = match["part"]
        return lambda secret: part in secret.config.name
    if match := _LABEL.fullmatch(text):
        key, value = match["key"], match["value"]
        return lambda secret: secret.config.labels.get(key) == value
    raise unimplemented("the emulator filters secrets by name:PART or labels.KEY=VALUE")


def version_filter(text: str) -> Callable[[Version], bool]:
    """The predicate; raises StatusError."""
    text = text.strip()
    if not text:
        return lambda _: True
    match = _STATE.fullmatch(text)
    if match is None:
        raise unimplemented("the emulator filters versions by state:STATE or state=STATE")
    state: Any = State.__members__.get(match["state"].upper())
    if state is None:
        raise invalid("the filter names no state of a version")
    return lambda version: bool(version.config.state == state)
