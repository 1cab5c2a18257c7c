"""A process with few descriptors left, or without room for a thread."""

import os
import resource
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

STACK_BYTES = 1 << 30
"""Address space that a thread asks for in vain; half of it is left for all else."""

descriptors = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc tells which descriptors are open")


@contextmanager
def only(spare):
    """Let this process have only so many more descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    gaps = [os.open(os.devnull, os.O_RDONLY)]
    while gaps[-1] <= highest:
        gaps.append(os.open(os.devnull, os.O_RDONLY))
    lowest = gaps.pop()  # all below it are in use
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for gap in gaps:
            os.close(gap)


@contextmanager
def no_thread():
    """Let this process start no further thread: there is no room for their stacks."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    stack_bytes = threading.stack_size(STACK_BYTES)
    used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + STACK_BYTES // 2, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        threading.stack_size(stack_bytes)
