"""Networks and processes of their own for commands, as in a container.

`in_network` runs one in a network namespace that lines of shell have set up, `as_process_1` one in a process namespace;
tests with them are marked with `apart` and `alone`.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

apart = pytest.mark.skipif(
    shutil.which("unshare") is None
    or shutil.which("ip") is None
    or subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode != 0,
    reason="network namespaces need root, unshare and ip",
)


def in_network(setup, command):
    """Return the command that runs `command` in a network namespace of its own, after `setup`."""
    return ["unshare", "-n", "sh", "-ec", f'{setup}\nexec "$@"', "sh", *map(str, command)]


alone = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="process namespaces need root and unshare"
)


def as_process_1(command):
    """Return the command that runs `command` as process 1 of a process namespace; it is the only child of that."""
    return ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *map(str, command)]


def children(process):
    """Return the children of a process, with those that have ended and that nobody has waited for."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
