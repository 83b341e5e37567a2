"""Runs a command that ends with the process that asked for it, even if that is killed outright.

`python tether.py PARENT_PID COMMAND...`, run as a file: it imports nothing but the standard
library, for every child of the stack pays for its start.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1  # /usr/include/linux/prctl.h
LOOK_SECONDS = 0.5
GRACE_SECONDS = 10.0


def main() -> int:
    """Becomes the command where the kernel watches the parent; else stays and watches it."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux" and "VITALFLOW_TETHER_POLLS" not in os.environ:
        # Survives exec. It also fires when the parent's thread ends that started us.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == parent:  # Else it was gone before we asked.
            os.execvp(command[0], command)  # noqa: S606 - the caller's own command
        return 1
    return _watch(parent, command)


def _watch(parent: int, command: list[str]) -> int:
    # The command is of the same process group and gets the signals itself.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child = subprocess.Popen(command, restore_signals=True, preexec_fn=_default_signals)  # noqa: S603, PLW1509 - the caller's own command; one thread
    while child.poll() is None:
        if os.getppid() != parent:
            child.terminate()
            try:
                child.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
        time.sleep(LOOK_SECONDS)
    return child.returncode


def _default_signals() -> None:
    # What is ignored stays ignored in a new program.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
