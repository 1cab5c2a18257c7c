"""Operators drain brokers, take nodes out and put them back, over a running net; nobody else does."""

import json
import logging

import pytest

from braidmq import AccessDenied, ConfigError, NoBroker, NodeClosed, NoWorker
from braidmq.cli.exit_codes import ExitCode
from braidmq.testing import TestNet
from tests.support.nights import cases
from tests.support.processes import wait_until
from tests.support.waiting import until


@pytest.fixture
def net():
    with TestNet(2) as net:
        yield net


@pytest.fixture
def worker(net):
    node = net.blocking_node("worker")

    @node.service("echo")
    def echo(request):
        return request.payload

    with node:
        net.wait_served("echo")
        yield node


@pytest.fixture
def ops(net, worker):
    with net.blocking_node("ops", operate=True) as node:
        node.settled()
        yield node


@pytest.fixture
def client(net, worker):
    with net.blocking_node("client") as node:
        node.wait_for_services("echo", timeout=10.0)
        yield node


def outcomes(answers):
    return {name: answer.outcome for name, answer in answers.items()}


class TestTakeOut:
    def test_node_that_is_out_gets_no_work_until_it_is_put_back_and_logs_both(self, net, ops, client, caplog):
        caplog.set_level(logging.WARNING, "braidmq")
        assert outcomes(ops.operate.take_out("worker")) == {"b1": "done", "b2": "done"}
        for via in net.brokers:
            with pytest.raises(NoWorker):
                client.request("echo", timeout=5.0, wait=False, via=via)
        assert {row.out_by for each in net.brokers.values() for row in each.report().nodes if row.name == "worker"} == {
            "ops"
        }
        assert outcomes(ops.operate.put_back("worker")) == {"b1": "done", "b2": "done"}
        assert client.request("echo", b"x", timeout=10.0).payload == b"x"
        for name in net.brokers:
            until(lambda name=name: f"{name} gives this node no new work: ops has taken it out" in caplog.text)
            until(lambda name=name: f"{name} gives this node work again: ops has put it back" in caplog.text)
            assert "ops has asked to take-out worker: it gets no new work there" in caplog.text

    def test_node_that_nobody_knows_is_told_as_that(self, ops):
        answers = ops.operate.take_out("nobody")
        assert outcomes(answers) == {"b1": "nothing", "b2": "nothing"}
        assert answers["b1"].text == "no node nobody is connected there"

    def test_broker_that_is_not_reached_is_named(self, net, ops):
        net.brokers["b2"].kill()
        until(lambda: any(each.name == "b2" and each.state != "up" for each in ops.brokers))
        answers = ops.operate.take_out("worker")
        assert outcomes(answers)["b1"] == "done"
        assert outcomes(answers)["b2"] in ("unasked", "silent")
        assert not answers["b2"].done

    def test_broker_that_hangs_is_named_when_the_time_is_over(self, net, ops):
        net.brokers["b2"].pause()
        try:
            answers = ops.operate.take_out("worker", timeout=0.3)
        finally:
            net.brokers["b2"].resume()
        assert outcomes(answers)["b1"] == "done"
        assert not answers["b2"].done


class TestDrain:
    def test_broker_ends_and_calls_go_on_and_the_last_one_needs_force(self, net, ops, client):
        answer = ops.operate.drain("b1")
        assert (answer.broker, answer.done) == ("b1", True)
        net.brokers["b1"].wait_stopped()
        assert client.request("echo", b"x", timeout=10.0).broker == "b2"
        until(lambda: not any(each.name == "b1" and each.state == "up" for each in ops.brokers))
        with pytest.raises(NoBroker):
            ops.operate.drain("b1")
        until(lambda: ops.operate.drain("b2").outcome == "refused")
        assert net.brokers["b2"].state == "up"
        assert ops.operate.drain("b2", force=True).done
        net.brokers["b2"].wait_stopped()

    def test_unknown_broker_is_a_mistake(self, ops):
        with pytest.raises(ConfigError, match="no broker is called 'b9': this node knows of b1, b2"):
            ops.operate.drain("b9")


class TestTheRight:
    def test_without_it_nothing_happens(self, net, client):
        client.settled()
        for ask in (
            lambda: client.operate.drain("b1", force=True),
            lambda: client.operate.take_out("worker"),
            lambda: client.operate.put_back("worker"),
        ):
            with pytest.raises(AccessDenied, match="client may not operate"):
                ask()
        assert {each.state for each in net.brokers.values()} == {"up"}
        assert client.request("echo", b"x", timeout=10.0).payload == b"x"

    def test_node_that_does_not_run_cannot_operate(self, net):
        with pytest.raises(NodeClosed):
            net.blocking_node("ops", operate=True).operate.take_out("worker")


class TestTheCommands:
    def test_operator_takes_a_node_out_puts_it_back_and_drains_a_broker(self, live):
        live.add_members("b1", "b2")
        broker = live.broker("b1")
        live.broker("b2")
        live.serve("--service", "echo", "--exec", "cat")
        live.wait_for_workers("echo")
        live.wait_for_agreement("b1", "b2")

        denied = live.run("take-out", "worker", "--join", live.join("client"))
        assert (denied.returncode, denied.stdout) == (ExitCode.DENIED, b"")
        assert denied.stderr.startswith(b"braidmq: client may not operate: `braidmq set client --operate")

        live.authority.change("observer", operate=True)
        join = live.join("observer")
        wait_until(lambda: live.run("put-back", "worker", "--join", join).returncode == 1, "the right is there")
        done = live.run("take-out", "worker", "--join", join)
        assert (done.returncode, done.stderr) == (ExitCode.OK, b"")
        assert done.stdout.decode().splitlines() == [
            "worker is out:", "  b1: it gets no new work there", "  b2: it gets no new work there"
        ]  # fmt: skip
        told = json.loads(live.run("status", "--json", "--join", join).stdout)
        assert [each["who"] for each in told["findings"] if each["kind"] == "node-out"] == [["worker"]]
        assert told["well"]
        again = live.run("put-back", "worker", "--json", "--join", join)
        assert (again.returncode, json.loads(again.stdout)["done"]) == (ExitCode.OK, True)
        nobody = live.run("put-back", "worker", "--join", join)
        assert (nobody.returncode, nobody.stdout.splitlines()[0]) == (ExitCode.FAILURE, b"worker is not back:")

        drained = live.run("drain", "b1", "--join", join)
        assert (drained.returncode, drained.stdout.splitlines()[0]) == (ExitCode.OK, b"b1 drains:")
        assert broker.wait() == 0
        assert "observer has asked to drain b1" in broker.log
        last = live.run("drain", "b2", "--join", join)
        assert (last.returncode, last.stdout.splitlines()[0]) == (ExitCode.FAILURE, b"b2 does not drain:")
        assert b"--force" in last.stdout

    @cases(
        ("arguments", "code", "said"),
        [
            (("drain", "b9"), ExitCode.USAGE, b"no broker is called 'b9'"),
            (("drain", "no name"), ExitCode.USAGE, b"'no name' cannot name a member"),
            (("drain", "b1"), ExitCode.UNAVAILABLE, b"there is no connection to b1"),
            (("take-out", "w"), ExitCode.UNAVAILABLE, b"there is no connection to any broker"),
            (("put-back",), ExitCode.USAGE, b"Missing argument 'NODE'"),
        ],
        one_in=3,
    )
    def test_bad_input_is_one_line_and_the_right_code(self, live, arguments, code, said):
        live.add_members("b1")
        result = live.run(*arguments, "--join", live.join("client"))
        assert (result.returncode, result.stdout) == (code, b"")
        (line,) = result.stderr.splitlines()
        assert said in line
