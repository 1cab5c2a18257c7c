"""Brokers and workers are killed, ended and stopped under load, as real processes; each test checks I1 to I5."""

import asyncio
import signal
from time import monotonic

import pytest

from braidmq import Node
from braidmq.lab.simulation.checkers import nothing_late
from tests.support.async_tests import until
from tests.support.broken_net import BROKERS, WORKERS, BrokenNet, under_load
from tests.support.load import Load, errors, flagged
from tests.support.nights import nightly_but
from tests.support.patience import patient
from tests.support.processes import wait_until

STOPS = pytest.mark.parametrize(
    ("stopped_s", "timeout"),
    [pytest.param(2.9, 2.7, id="suspected"), pytest.param(4.5, 4.0, id="given-up")],
)
"""Shorter and longer than dead_after_s. What waited in the stopped process has expired when it goes on."""


async def stop_for(child, duration_s):
    """Stop a process for a time."""
    child.send_signal(signal.SIGSTOP)
    go_on_at = monotonic() + duration_s
    await until(lambda: monotonic() >= go_on_at)
    child.send_signal(signal.SIGCONT)


@pytest.mark.nightly
@pytest.mark.parametrize("rounds", [2])
async def test_kill_9_of_brokers_loses_nothing(tmp_path, rounds):
    async with under_load(tmp_path) as (broken, load, outcomes):
        for name in BROKERS * rounds:
            broken.children[name].send_signal(signal.SIGKILL)
            await load.answered(outcomes)
            assert await asyncio.to_thread(broken.children[name].wait) == -signal.SIGKILL
            await asyncio.to_thread(broken.start_broker, name)
            await broken.back(name)
            await load.answered(outcomes)
    assert errors(outcomes) == []


@pytest.mark.nightly
async def test_sigterm_of_brokers_is_noticed_by_nobody(tmp_path):
    async with under_load(tmp_path, settings=patient()) as (broken, load, outcomes):
        for name in BROKERS:
            assert await asyncio.to_thread(broken.children[name].end, signal.SIGTERM) == 0
            await load.answered(outcomes)
            await asyncio.to_thread(broken.start_broker, name)
            await broken.back(name)
            await load.answered(outcomes)
    assert errors(outcomes) == []
    assert flagged(outcomes) == []


@pytest.mark.nightly
@STOPS
async def test_a_stopped_broker_loses_nothing_and_runs_nothing_stale(tmp_path, stopped_s, timeout):
    async with under_load(tmp_path, timeout=timeout) as (broken, load, outcomes):
        await stop_for(broken.children["b1"], stopped_s)
        await load.answered(outcomes)
        await until(lambda: all(broker.state == "up" for broker in load.client.brokers))
        await broken.back("b1")
    assert errors(outcomes) == []
    assert flagged(outcomes), "the load did not meet the stopped broker"


@pytest.mark.nightly
async def test_kill_9_of_a_worker_in_its_jobs_loses_nothing(tmp_path):
    async with under_load(tmp_path) as (broken, load, outcomes):
        for name in WORKERS:
            await until(broken.ran_on(name))
            broken.children[name].send_signal(signal.SIGKILL)
            await load.answered(outcomes)
            await asyncio.to_thread(broken.start_worker, name)
            await broken.back()
    assert errors(outcomes) == []
    assert flagged(outcomes), "no worker was killed in its job"


@pytest.mark.nightly
async def test_sigterm_of_workers_is_noticed_by_nobody(tmp_path):
    async with under_load(tmp_path, settings=patient()) as (broken, load, outcomes):
        for name in WORKERS:
            await until(broken.ran_on(name))
            assert await asyncio.to_thread(broken.children[name].end, signal.SIGTERM) == 0
            await load.answered(outcomes)
            await asyncio.to_thread(broken.start_worker, name)
            await broken.back()
    assert errors(outcomes) == []
    assert flagged(outcomes) == []


@pytest.mark.nightly
@STOPS
async def test_a_stopped_worker_loses_nothing_and_runs_nothing_stale(tmp_path, stopped_s, timeout):
    async with under_load(tmp_path, timeout=timeout) as (broken, load, outcomes):
        await until(broken.ran_on("w1"))
        await stop_for(broken.children["w1"], stopped_s)
        await load.answered(outcomes)
        await broken.back()
    assert errors(outcomes) == []
    assert flagged(outcomes), "the load did not meet the stopped worker"


@pytest.mark.nightly
@pytest.mark.parametrize("stopped", nightly_but({"b1"}, ("b1", "w1")))
async def test_what_a_dead_client_left_in_a_stopped_process_is_not_run(tmp_path, stopped):
    """No CANCEL follows such a request: only its age tells that it has expired."""
    broken = BrokenNet(tmp_path)
    try:
        await asyncio.to_thread(broken.start)
        client, observer = Node(broken.net.join("client")), Node(broken.net.join("observer"))
        await client.start()
        async with observer:
            await until(lambda: all(broker.state == "up" for broker in (*client.brokers, *observer.brokers)))
            before = (await observer.observe())["b1"].counters["requests"]
            broken.children[stopped].send_signal(signal.SIGSTOP)
            load = Load(client)
            calls = [asyncio.ensure_future(load.call(via="b1", timeout=2.5, attempts=1)) for _ in range(30)]
            while not await suspected(client, observer, stopped):
                assert not all(call.done() for call in calls), "they did not meet the stopped process"
            client.end_now()
            await asyncio.gather(*calls, return_exceptions=True)
            await until(lambda: monotonic() >= max(call.deadline for call in load.record.calls) + 0.1)
            broken.children[stopped].send_signal(signal.SIGCONT)

            def all_handled():
                requests = broken.net.report("b1").counters["requests"]
                return requests == before + len(calls) and not broken.net.service("b1", "s").outstanding

            await asyncio.to_thread(wait_until, all_handled, "b1 has handled every request")
            await broken.back()
        broken.read_executions(load.record)
        assert nothing_late.check(load.record) == []
    finally:
        await asyncio.to_thread(broken.net.close)


async def suspected(client, observer, name):
    """Whether a client (of a broker), or the broker b1 (of a worker) has noticed that a process is silent."""
    if name == "b1":
        return await asyncio.sleep(0.01, any((each.name, each.state) == (name, "suspect") for each in client.brokers))
    return any((node.name, node.state) == (name, "suspect") for node in (await observer.observe())["b1"].nodes)
