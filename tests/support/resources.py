"""What this process has of the machine: descriptors and threads."""

import threading
from pathlib import Path

import pytest

counted = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="/proc tells what a process has")


def nothing_left(before: tuple[int, int]) -> bool:
    """Whether this process has no more than `before`; what others had then may have ended meanwhile.

    Wait for it: a thread of an earlier test that has ended for Python may be there for a moment yet.
    """
    descriptors, threads = held()
    return descriptors <= before[0] and threads <= before[1]


def held() -> tuple[int, int]:
    """Return how many descriptors and threads this process has.

    Those of the pool of asyncio's loop are left out: it keeps one more whenever two things go to it in one moment.
    """
    pooled = sum(thread.name.startswith("asyncio_") for thread in threading.enumerate())
    return len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir())) - pooled
