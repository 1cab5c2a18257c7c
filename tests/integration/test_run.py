"""`python worker.py`: what a program that only runs a node says."""

import re
import sys

import pytest

from tests.support.nights import cases
from tests.support.processes import wait_until

WORKER = """
import logging
from braidmq import Node
{setup}
node = Node({join!r})


@node.service("echo")
async def echo(request):
    logging.getLogger("mine").info("called")
    return request.payload


node.run()
logging.getLogger("mine").info("after")
"""


@pytest.fixture
def worker(live, tmp_path):
    live.add_members("b1")
    live.broker("b1")

    def start(setup=""):
        (tmp_path / "worker.py").write_text(WORKER.format(setup=setup, join=str(live.join("worker"))))
        child = live.launch([sys.executable, str(tmp_path / "worker.py")])
        live.wait_for_workers("echo")
        assert live.call("echo").returncode == 0
        return child

    return start


def test_where_logging_is_not_configured_it_says_with_time_and_name_that_it_serves(worker):
    child = worker()
    wait_until(lambda: "called" in child.log, "the handler's own line")
    assert child.end() == 0
    lines = child.log.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO +\S", line) for line in lines), lines
    assert lines[0].endswith("worker serves echo")
    assert lines[-2].endswith("worker has ended")
    assert lines[-1].endswith("after")


@pytest.mark.nightly
def test_where_only_another_logger_is_configured_the_programs_own_lines_are_left_to_it(worker):
    child = worker(
        "logging.getLogger('mine').addHandler(logging.StreamHandler())\nlogging.getLogger('mine').setLevel('INFO')"
    )
    wait_until(lambda: "called" in child.log, "the handler's own line")
    assert child.end() == 0
    assert re.search(r"^\d{4}-\S+ \S+ INFO +worker serves echo$", child.log, re.MULTILINE)
    assert child.log.count("called") == 1
    assert "called" in child.log.splitlines(), "as it is written by its own handler"


@cases(
    ("setup", "lines"),
    [
        ("logging.basicConfig(format='own: %(message)s', level='INFO')", "own: worker serves echo"),
        ("logging.getLogger().addHandler(logging.NullHandler())", ""),
        ("logging.getLogger('braidmq').addHandler(logging.NullHandler())", ""),
        (
            "logging.getLogger('braidmq').addHandler(logging.StreamHandler())\nlogging.getLogger('braidmq').setLevel('INFO')",
            "worker serves echo",
        ),
    ],
    one_in=2,
)
def test_logging_that_is_configured_is_left_alone(worker, setup, lines):
    child = worker(setup)
    assert child.end() == 0
    assert child.log.count("serves echo") == bool(lines)
    assert child.log.startswith(lines)
    assert not re.search(r"^\d{4}-", child.log)
