"""The programs of examples/ do what they say."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.czmq import need_czmq

ROOT = Path(__file__).parents[2]


def plain_pyzmq(*arguments):
    """Run the program as somebody would who has libzmq, and nothing of BraidMQ."""
    code = (
        "import runpy, sys\n"
        "sys.modules['braidmq'] = None\n"
        f"sys.argv[0] = {str(ROOT / 'examples' / 'plain_pyzmq.py')!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def net(live):
    live.add_members("b1")
    live.broker("b1").wait_for_line("listens at")
    live.serve("--service", "shout", "--exec", "tr a-z A-Z")
    live.serve("--service", "sulk", "--exec", "false")
    live.wait_for_workers("shout")
    live.wait_for_workers("sulk")
    return live


def test_a_program_that_has_pyzmq_only_calls_a_service(net):
    done = plain_pyzmq(net.join("client"), "shout", "hello")
    assert (done.stdout, done.stderr) == ("HELLO\n", "")


def test_it_says_what_became_of_calls_that_have_no_result(net):
    for service, why in (("sulk", "EXIT"), ("nothing", "command 4, code 0[14]")):  # nobody has it, or not in time
        done = plain_pyzmq(net.join("client"), service, "hello")
        assert done.stdout == ""
        assert re.search(why, done.stderr)


def shown():
    """Return the lines that docs/bridges.md shows of the example of bridges; ports differ."""
    page = (ROOT / "docs" / "bridges.md").read_text()
    _, _, rest = page.partition("```console\n$ python examples/bridges/run.py\n")
    block, end, _ = rest.partition("```\n")
    assert end
    return [without_ports(line) for line in block.splitlines() if line != "..."]


def without_ports(line):
    return re.sub(r"(?<=127\.0\.0\.1:)\d+", "PORT", line)


@pytest.mark.skipif(importlib.util.find_spec("majortomo") is None, reason="needs majortomo")
def test_foreign_programs_are_answered_though_a_broker_is_killed():
    need_czmq()
    command = [sys.executable, str(ROOT / "examples" / "bridges" / "run.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said = iter(map(without_ports, done.stdout.splitlines()))
    for line in shown():
        wanted = re.compile(".*".join(map(re.escape, line.split("..."))) + r"\Z")
        assert any(map(wanted.match, said)), f"no line {line!r} in\n{done.stdout}"
