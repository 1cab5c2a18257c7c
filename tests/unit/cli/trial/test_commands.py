"""Ping and load in this process, against brokers of a TestNet."""

import asyncio
import json
import re
from typing import cast

import pytest

from braidmq import Node, Services
from braidmq.cli import run
from braidmq.cli.trial.calls import AFTER_ERROR_S, IN_FLIGHT_MAX, Call, Calls
from braidmq.errors import Overloaded
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.trials import reply


@pytest.fixture(scope="module")
def net():
    """Two brokers, and a worker that says what it is told, or that it has nothing to say."""
    services = Services()

    @services.service("echo", concurrency=8)
    async def echo(request):
        return request.payload

    with TestNet(2) as net:
        worker = net.blocking_node("worker", services=services)
        net.blocking_node("client", call=["*"])
        worker.start()
        net.wait_served("echo")
        yield net
        worker.close()


def told(capfd, net, *arguments):
    """Run a command with --json; return its exit code and the object."""
    code = run([*arguments, "--join", str(net.join("client")), "--preset", "test", "--json"])
    return code, json.loads(capfd.readouterr().out)


def test_a_ping_sums_up(net, capfd):
    code, shown = told(capfd, net, "ping", "echo", "hello", "--count", "6", "--rate", "100", "--each-broker")
    assert code == 0
    assert (shown["sent"], shown["answered"], shown["failed"]) == (6, 6, 0)
    assert [(path["broker"], path["worker"], path["answered"]) for path in shown["paths"]] == [
        ("b1", "worker", 3),
        ("b2", "worker", 3),
    ]


def test_a_ping_has_a_line_for_each_call_unless_it_is_quiet(net, capfd):
    for options, lines in (((), 2), (("--quiet",), 0)):
        arguments = ["ping", "echo", "--count", "2", "--rate", "100", "--join", str(net.join("client")), *options]
        assert run(arguments) == 0
        out = capfd.readouterr().out
        assert len(re.findall(r"^\d: .* by worker over b\d, 0 bytes", out, re.MULTILINE)) == lines
        assert "echo: 2 sent, 2 answered, 0 failed" in out


def test_a_closed_load_keeps_so_many_calls_under_way(net, capfd):
    code, shown = told(capfd, net, "load", "echo", "--bytes", "10", "--in-flight", "3", "--duration", "0.2")
    (step,) = shown["steps"]
    assert (code, step["in_flight"], step["failed"], step["under_way"]) == (0, 3, 0, 0)
    assert step["answered"] > 0
    assert "full" not in shown


def test_an_open_load_begins_as_many_as_are_due(net, capfd):
    code, shown = told(capfd, net, "load", "echo", "hello", "--rate", "100", "--duration", "0.2")
    (step,) = shown["steps"]
    assert (code, step["rate"], step["sent"], step["held_back"]) == (0, 100.0, 20, 0)


def test_a_load_that_rises_has_steps_and_a_verdict(net, capfd):
    code, shown = told(capfd, net, "load", "echo", "--until-full", "--duration", "0.1")
    assert code == 0
    assert [step["in_flight"] for step in shown["steps"]][:3] == [1, 2, 4]
    assert shown["steps"][shown["full"]["step"]]["failed"] == 0


def test_what_has_no_worker_is_told_by_ping_in_the_end_and_by_load_at_once(net, capfd):
    code, shown = told(capfd, net, "ping", "nobody", "--count", "1")
    assert (code, shown["errors"]) == (5, {"NoWorker": 1})
    assert run(["load", "nobody", "--join", str(net.join("client")), "--duration", "60"]) == 5
    assert "no worker" in capfd.readouterr().err


class Never:
    """A node that answers no call, or refuses all of them."""

    def __init__(self, end=None):
        self.calls, self._end = 0, end
        self.asked = []

    async def request(self, *_, **__):
        self.calls += 1
        if self._end is not None:
            raise self._end
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]


def calls_of(node):
    return Calls(cast("Node", node), Call("echo", b"", None, None))


async def test_what_is_due_beyond_the_limit_does_not_begin_and_is_counted():
    node = Never()
    calls = calls_of(node)
    running = asyncio.create_task(calls.open(100_000.0, IN_FLIGHT_MAX + 500))
    await until(lambda: calls.held_back == 500)
    assert node.calls == calls.tally.under_way == IN_FLIGHT_MAX
    for each in node.asked:
        each.set_result(reply())
    await running
    assert calls.tally.answered == IN_FLIGHT_MAX


async def test_who_is_refused_at_once_does_not_ask_again_without_a_pause():
    calls = calls_of(Never(Overloaded("full")))
    await calls.closed(2, 0.1)
    assert 2 <= calls.tally.failed <= 2 * (0.1 / AFTER_ERROR_S + 1)
    assert calls.per_s == 0.0


async def test_what_is_ended_counts_what_has_come_so_far():
    node = Never()
    calls = calls_of(node)
    running = asyncio.create_task(calls.open(1_000.0, None))
    await until(lambda: node.calls >= 3)
    node.asked[0].set_result(reply())
    await until(lambda: calls.tally.answered == 1)
    calls.end()
    await asyncio.wait((running,))
    assert running.cancelled()
    assert (calls.tally.answered, calls.tally.failed) == (1, 0)
    assert calls.seconds > 0.0
    assert calls.per_s > 0.0
