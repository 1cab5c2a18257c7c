"""The example of foreign programs before a net does what docs/bridges.md shows."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.czmq import need_czmq

ROOT = Path(__file__).parents[2]


def shown():
    """Return the lines that docs/bridges.md shows of the example; ports differ."""
    page = (ROOT / "docs" / "bridges.md").read_text()
    _, _, rest = page.partition("```console\n$ python examples/bridges/run.py\n")
    block, end, _ = rest.partition("```\n")
    assert end
    return [without_ports(line) for line in block.splitlines() if line != "..."]


def without_ports(line):
    return re.sub(r"(?<=127\.0\.0\.1:)\d+", "PORT", line)


@pytest.mark.skipif(importlib.util.find_spec("majortomo") is None, reason="needs majortomo")
@pytest.mark.nightly
def test_foreign_programs_are_answered_though_a_broker_is_killed():
    need_czmq()
    command = [sys.executable, str(ROOT / "examples" / "bridges" / "run.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said = iter(map(without_ports, done.stdout.splitlines()))
    for line in shown():
        wanted = re.compile(".*".join(map(re.escape, line.split("..."))) + r"\Z")
        assert any(map(wanted.match, said)), f"no line {line!r} in\n{done.stdout}"
