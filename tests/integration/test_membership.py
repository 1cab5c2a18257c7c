"""Brokers find each other, nodes follow, and drains go unnoticed: real processes, with the figures that must hold."""

import asyncio
import json
import signal
from contextlib import ExitStack, asynccontextmanager
from time import monotonic

import pytest

from braidmq import ConfigError, Node
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.broken_net import BROKERS, BrokenNet, under_load
from tests.support.load import errors, flagged
from tests.support.patience import patient
from tests.support.processes import LiveNet, wait_until

PROBE_S = 1.0
"""The default of Settings.probe_s."""


def states(node):
    return {broker.name: broker.state for broker in node.brokers}


@pytest.mark.nightly
def test_broker_that_joins_four_others_is_known_to_all_within_three_probe_intervals_and_used_two_seconds_later(
    tmp_path,
):
    with LiveNet(tmp_path) as net:
        net.add_members("b1", "b2", "b3", "b4", "b5")
        four = ("b1", "b2", "b3", "b4")
        for name in four:
            net.broker(name)
        net.serve("--service", "s", "--exec", "cat")
        net.wait_for_workers("s", *four)
        net.wait_for_agreement(*four)
        net.broker("b5")
        listening_at = monotonic()
        net.wait_for_agreement(*four, "b5", timeout=3 * PROBE_S)
        net.wait_for_workers("s", "b5")
        assert monotonic() - listening_at < 3 * PROBE_S + 2.0
        assert net.call("s", "hello", "--via", "b5").stdout == b"hello"


@pytest.mark.nightly
async def test_kill_9_of_a_broker_is_noticed_by_nodes_at_once_and_listed_by_peers_within_six_seconds(tmp_path):
    async with under_load(tmp_path) as (broken, load, outcomes):
        broken.children["b3"].send_signal(signal.SIGKILL)
        killed_at = monotonic()
        await until(lambda: states(load.client)["b3"] != "up")
        # 3 ms on a quiet machine. Silence alone would be noticed after suspect_after_s=1.5: it is the lost connection.
        assert monotonic() - killed_at < 1.0

        def listed():
            return all(broken.net.members(name).get("b3", "dead") == "dead" for name in ("b1", "b2"))

        await asyncio.to_thread(wait_until, listed, "b1 and b2 list b3 as dead", 6.0 - (monotonic() - killed_at))
        await load.answered(outcomes)
    assert errors(outcomes) == []


@pytest.mark.nightly
async def test_hung_broker_is_listed_as_dead_and_comes_back(tmp_path):
    async with under_load(tmp_path) as (broken, load, outcomes):
        broken.children["b3"].send_signal(signal.SIGSTOP)

        def listed():
            return all(broken.net.members(name).get("b3") == "dead" for name in ("b1", "b2"))

        await asyncio.to_thread(wait_until, listed, "b1 and b2 list b3 as dead", 15.0)
        broken.children["b3"].send_signal(signal.SIGCONT)
        await asyncio.to_thread(broken.net.wait_for_agreement, *BROKERS)
        await broken.back()
        await load.answered(outcomes)
    assert errors(outcomes) == []


@pytest.mark.nightly
async def test_rolling_restart_of_all_brokers_is_noticed_by_nobody(tmp_path):
    async with under_load(tmp_path, settings=patient()) as (broken, load, outcomes):
        for name in BROKERS:
            told_at = monotonic()
            assert await asyncio.to_thread(broken.children[name].end, signal.SIGTERM) == 0
            assert monotonic() - told_at < 10.0
            await asyncio.to_thread(broken.start_broker, name)
            await broken.back(name)
            await load.answered(outcomes)
        await asyncio.to_thread(broken.net.wait_for_agreement, *BROKERS)
    assert errors(outcomes) == []
    assert flagged(outcomes) == []


@pytest.mark.nightly
async def test_net_is_whole_again_after_all_brokers_were_away_for_ten_seconds(tmp_path):
    async with under_load(tmp_path, timeout=30.0) as (broken, load, outcomes):
        for name in BROKERS:
            broken.children[name].send_signal(signal.SIGKILL)
        away_until = monotonic() + 10.0
        for name in BROKERS:
            await asyncio.to_thread(broken.children[name].wait)
        await until(lambda: monotonic() >= away_until, timeout=15.0)
        before = len(load.record.calls)
        await asyncio.gather(*(asyncio.to_thread(broken.start_broker, name) for name in BROKERS))
        listening_at = monotonic()
        await broken.back()
        await asyncio.to_thread(broken.net.wait_for_agreement, *BROKERS)
        await until(lambda: set(states(load.client).values()) == {"up"})
        assert monotonic() - listening_at < 5.0
        await load.answered(outcomes)
        attempts = sum(broken.net.report(name).counters["requests"] for name in BROKERS)
        # No storm: those that waited are sent once each; the calls that began before are at most one per caller.
        assert attempts <= 1.1 * (len(load.record.calls) - before + 20)
    assert errors(outcomes) == []


@pytest.mark.nightly
def test_broker_that_stops_is_said_to_leave_and_is_not_suspected(tmp_path):
    with LiveNet(tmp_path) as net:
        net.add_members("b1", "b2")
        first, second = net.broker("b1"), net.broker("b2")
        net.wait_for_agreement("b1", "b2")
        assert second.end() == 0
        wait_until(lambda: net.members("b1").get("b2") == "dead", "b1 knows that b2 has left", 2.0)
        assert "b2 has left" in first.wait_for_line("b2 has left")
        assert "suspect" not in first.log


@pytest.mark.nightly
def test_broker_that_drains_with_a_job_under_way_is_leaving_until_it_has_ended(tmp_path):
    with LiveNet(tmp_path) as net:
        net.add_members("b1", "b2", "b3")
        children = {name: net.broker(name) for name in ("b1", "b2", "b3")}
        net.serve("--service", "s", "--exec", "sh -c 'sleep 3; cat'")
        net.wait_for_workers("s")
        net.wait_for_agreement("b1", "b2", "b3")
        job_until = monotonic() + 3.0  # at least
        with net.calling("s", "hello", "--via", "b1") as call:
            wait_until(lambda: net.service("b1", "s").outstanding, "b1 has the call")
            children["b1"].send_signal(signal.SIGTERM)
            wait_until(lambda: net.members("b2")["b1"] == "leaving", "b2 knows that b1 leaves")
            while (seen := {net.members(name)["b1"] for name in ("b2", "b3")}) and monotonic() < job_until:
                assert seen == {"leaving"}
            assert call.communicate() == (b"hello", b"")
        assert children["b1"].wait() == 0
        wait_until(lambda: {net.members(name).get("b1") for name in ("b2", "b3")} == {"dead"}, "b1 has left")
        for child in children.values():
            assert "suspect" not in child.log
            assert "refuted" not in child.log
        assert [children[name].log.count("b1 has left") for name in ("b2", "b3")] == [1, 1]


@pytest.mark.nightly
def test_requests_that_wait_at_a_draining_broker_go_elsewhere_unflagged(tmp_path):
    """Of four calls of 1 s one runs at the only worker; b1 keeps the others, and gives them back when it drains."""
    with LiveNet(tmp_path) as net, ExitStack() as stack:
        net.add_members("b1", "b2")
        first = net.broker("b1", "--set", "drain_s=2.5")
        net.serve("--service", "s", "--exec", "sh -c 'sleep 1; cat'", "--concurrency", "1")
        net.wait_for_workers("s", "b1")
        calls = [stack.enter_context(net.calling("s", f"{n}", "--json", "--timeout", "20")) for n in range(4)]
        wait_until(lambda: net.service("b1", "s").queued == 3, "three calls wait at b1")
        net.broker("b2")
        net.wait_for_workers("s", "b2")
        net.wait_for_agreement("b1", "b2")
        assert first.end() == 0
        replies = [json.loads(call.communicate()[0]) for call in calls]
        assert [reply["possible_duplicate"] for reply in replies] == [False] * 4


@asynccontextmanager
async def net_of_two(directory):
    """Brokers b1 and b2 with a worker; the client's join file is older than b2 and names b1 only."""
    broken = BrokenNet(directory, brokers=("b1",))
    before = broken.net.join("client").read_bytes()
    broken.net.add_broker("b2")
    broken.net.join("client").write_bytes(before)
    try:
        for name in ("b1", "b2"):
            await asyncio.to_thread(broken.start_broker, name)
        await asyncio.to_thread(broken.start_worker, "w1")
        yield broken
    finally:
        await asyncio.to_thread(broken.net.close)


async def test_node_learns_the_net_from_one_broker_and_remembers_it_in_its_state_file(tmp_path):
    state = tmp_path / "client.state"
    async with net_of_two(tmp_path) as broken:
        join = broken.net.join("client")
        async with Node(join, state=state) as client:
            await until(lambda: states(client) == {"b1": "up", "b2": "up"})
        assert await asyncio.to_thread(broken.children["b1"].end, signal.SIGKILL) == -signal.SIGKILL
        async with Node(join, state=state) as client:
            reply = await client.request("s", b"1", timeout=10.0)
            assert (reply.payload, reply.broker) == (b"re:1", "b2")
        state.write_bytes(b'{"braidmq_state_file":1,"garbage')
        async with Node(join, state=state) as client:
            assert states(client).keys() == {"b1"}


async def test_a_file_that_has_taken_the_place_of_the_state_file_is_not_overwritten(tmp_path, caplog):
    state = tmp_path / "client.state"
    async with TestNet(brokers=1) as net:
        net.node("n")
        early, late = (Node(net.join("n"), state=state) for _ in range(2))
        async with early:
            state.write_bytes(b"secret")
            with pytest.raises(ConfigError, match="is no state file"):
                await late.start()
            await until(lambda: "cannot be remembered" in caplog.text)
        assert state.read_bytes() == b"secret"
        state.unlink()
        async with late:
            await late.connected()
    assert state.read_bytes() != b""


@pytest.mark.nightly
async def test_node_comes_back_to_a_broker_that_has_left_when_it_returns(tmp_path):
    async with net_of_two(tmp_path) as broken, Node(broken.net.join("client")) as client:
        await until(lambda: states(client) == {"b1": "up", "b2": "up"})
        assert await asyncio.to_thread(broken.children["b2"].end) == 0
        await until(lambda: states(client)["b2"] != "up")
        await asyncio.to_thread(broken.start_broker, "b2")
        returned_at = monotonic()
        await until(lambda: states(client) == {"b1": "up", "b2": "up"})
        assert monotonic() - returned_at < 2.0


def test_broker_that_the_newest_registry_dropped_is_left_by_all(tmp_path):
    """b1 has the newest registry, and hands it on; b2 goes on, and does not come back by hearsay."""
    with LiveNet(tmp_path) as net:
        net.add_members("b1", "b2", "b3")
        first = net.broker("b1")
        net.broker("b2")
        third = net.broker("b3", "--set", "sync_s=1")
        net.wait_for_agreement("b1", "b2", "b3")
        net.authority.remove(["b2"])
        for broker in (first, third):
            broker.wait_for_line("b2 is no longer a broker of this net")
        net.wait_for_agreement("b1", "b3")
