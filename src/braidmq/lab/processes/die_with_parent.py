"""Run a command that cannot outlive its parent: ``python die_with_parent.py PARENT_PID COMMAND...``.

The kernel is asked to kill this process when its parent ends, however that happens, and then the command takes its
place: same pid, same wish. It is a program of its own because nothing but the child itself can ask for it, and
Python code between fork and exec is not safe. It imports little, for every child starts by it.
"""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
"""prctl(2), Linux."""


def main(parent: int, command: list[str]) -> None:
    """Become `command`; end at once if `parent` is gone already. Where there is no prctl, there is no leash."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the command comes from the parent itself


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
