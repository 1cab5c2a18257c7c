"""A process with few descriptors left."""

import os
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest

descriptors = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc tells which descriptors are open")


@contextmanager
def only(spare):
    """Let this process have only so many more descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(each.name) for each in Path("/proc/self/fd").iterdir()}
    limit = max(used) + 1
    gaps = [os.open(os.devnull, os.O_RDONLY) for _ in range(limit - len(used))]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max([limit, *gaps]) + 1 + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for gap in gaps:
            os.close(gap)
