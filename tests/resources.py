"""What this process has of the machine: descriptors and threads."""

from pathlib import Path

import pytest

counted = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="/proc tells what a process has")


def held() -> tuple[int, int]:
    """Return how many descriptors and threads this process has."""
    return len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir()))
