"""What this process has of the machine: descriptors and threads."""

from pathlib import Path

import pytest

counted = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="/proc tells what a process has")


def nothing_left(before: tuple[int, int]) -> bool:
    """Whether this process has no more than `before`; what others had then may have ended meanwhile."""
    descriptors, threads = held()
    return descriptors <= before[0] and threads <= before[1]


def held() -> tuple[int, int]:
    """Return how many descriptors and threads this process has."""
    return len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir()))
