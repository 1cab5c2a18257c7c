"""What kind of machine figures come from: its class, nothing that names it."""

import os
import platform
import sys


def machine_class() -> str:
    """Return processors, memory, operating system and Python in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = ".".join(platform.release().split(".")[:2])
    python = ".".join(map(str, sys.version_info[:2]))
    return f"{cores} cores ({platform.machine()}), {memory_gib:.0f} GiB, {platform.system()} {kernel}, Python {python}"
