"""Networks of their own for commands: `run_apart` runs one in a network namespace that lines of shell have set up."""

import shutil
import subprocess

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
