"""A broker looks whether another process runs with its join file."""

import threading

import pytest

from braidmq.carrier import twins
from braidmq.carrier.twins import TwinWatch
from braidmq.lab.processes.waiting import wait_until
from braidmq.settings import Settings
from braidmq.testing import TestNet
from braidmq.trust.joinfile import load


@pytest.fixture
def net():
    with TestNet(brokers=1) as net:
        yield net


def watch(net, process):
    return TwinWatch(load(net.brokers["b1"].join), Settings.test(), process)


def test_another_process_is_told_of_once_with_what_it_says_of_itself(net, caplog, monkeypatch):
    monkeypatch.setattr(twins, "LOOK_S", 0.01)
    looked = []
    monkeypatch.setattr(TwinWatch, "_ask", lambda *args, ask=TwinWatch._ask: looked.append(ask(*args)) or looked[-1])
    one = watch(net, "process 1 of here")
    wait_until(lambda: len([each for each in looked if each]) > 3, "it has looked again and again")
    one.close()
    own = net.brokers["b1"]._loop.process
    assert set(looked) - {""} == {own}, "on a busy machine one may be without an answer"
    told = [line for line in caplog.messages if "another process runs as b1 at" in line]
    assert len(told) == 1
    assert own in told[0]


def test_its_own_process_is_no_other(net, caplog, monkeypatch):
    looked = []
    monkeypatch.setattr(TwinWatch, "_ask", lambda *args, ask=TwinWatch._ask: looked.append(ask(*args)) or looked[-1])
    one = watch(net, net.brokers["b1"]._loop.process)
    wait_until(lambda: looked, "it has looked")
    one.close()
    assert "another process" not in caplog.text


def test_where_nobody_answers_it_says_nothing_and_ends_at_once(net, caplog):
    net.brokers["b1"].kill()
    before = set(threading.enumerate())
    one = watch(net, "process 1 of here")
    one.close()
    assert set(threading.enumerate()) <= before
    assert "another process" not in caplog.text


def test_without_a_thread_the_broker_goes_on(net, caplog, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    watch(net, "process 1 of here").close()
    monkeypatch.undo()
    assert "b1 does not look for others of its name: can't start new thread" in caplog.text
