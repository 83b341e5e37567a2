"""The endpoint with a clock that goes back by an hour once the file CLOCK_SWITCH is there.

To be given to the Functions Framework as its source; the machine's own clock stays as it is.
"""

import os
import time
from pathlib import Path
from types import SimpleNamespace

from functions import audit

HOUR_NS = 3_600 * 10**9
SWITCH = Path(os.environ["CLOCK_SWITCH"])


def time_ns() -> int:
    return time.time_ns() - HOUR_NS * SWITCH.exists()


audit.time = SimpleNamespace(time_ns=time_ns)

from functions.main import all  # noqa: A004, E402, F401 - the target that is asked for
