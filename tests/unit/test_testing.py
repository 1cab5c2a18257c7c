"""TestNet: starts, breaks things, and leaves nothing behind."""

import asyncio
import gc
import logging
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from braidmq import BraidError, ConfigError, NodeClosed, Settings, WrongLoop, testing
from braidmq.testing import TestNet
from tests.support.waiting import until


def port_of(broker):
    return int(broker.endpoint.rpartition(":")[2])


def is_open(broker):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port_of(broker))) == 0


def descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the count is all that is wanted


def serve(node, result=b"done"):
    @node.service("s")
    def handler(_request):
        return result


def use(net):
    worker, client = net.blocking_node("worker"), net.blocking_node("client")
    serve(worker)
    with worker, client:
        net.wait_served("s")
        assert client.request("s").payload == b"done"


def test_it_is_no_test_class():
    assert TestNet.__test__ is False


def test_brokers_are_there_in_the_block_and_gone_after_it():
    with TestNet(brokers=3) as net:
        assert list(net.brokers) == ["b1", "b2", "b3"]
        assert [broker.state for broker in net.brokers.values()] == ["up"] * 3
        assert len({broker.endpoint for broker in net.brokers.values()}) == 3
        assert all(is_open(broker) for broker in net.brokers.values())
        directory = net.join("b1").parent
        assert directory.is_dir()
    assert [broker.state for broker in net.brokers.values()] == ["down"] * 3
    assert not any(is_open(broker) for broker in net.brokers.values())
    assert not directory.exists()


@pytest.mark.nightly
def test_twenty_nets_leave_no_thread_descriptor_or_file_behind():
    with TestNet() as net:  # what is made only once is made now
        use(net)
    threads, files, places = set(threading.enumerate()), descriptors(), []
    for number in range(20):
        with TestNet(brokers=2 + number % 2) as net:
            use(net)
            places.append(net.join("b1").parent)
            if number % 4 == 1:
                net.brokers["b1"].kill()
            if number % 4 == 2:
                net.brokers["b2"].pause()
            if number % 4 == 3:
                net.brokers["b1"].restart()
    assert set(threading.enumerate()) <= threads  # one that another test left may have ended
    assert descriptors() == files
    assert not any(place.exists() for place in places)


@pytest.mark.nightly
def test_a_healthy_net_warns_of_nothing(caplog):
    for _ in range(5):
        with TestNet(brokers=5) as net:
            use(net)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_nodes_that_were_left_running_are_ended():
    async def left_running():
        async with TestNet() as net:
            nodes = [net.node("worker"), net.node("client")]
            serve(nodes[0])
            for node in nodes:
                await node.start()
            await net.served("s")
            await nodes[1].request("s")
        with pytest.raises(NodeClosed):
            await nodes[1].request("s")

    asyncio.run(left_running())
    files, threads = descriptors(), set(threading.enumerate())
    asyncio.run(left_running())
    with TestNet() as net:
        node = net.blocking_node("n")
        node.start()
        node.connected()
    assert descriptors() == files
    until(lambda: set(threading.enumerate()) <= threads)  # the pool's threads end on their own


def test_a_failing_block_leaves_nothing_behind_and_its_error_comes_through():
    def block():
        with TestNet() as net:
            directories.append(net.authority.directory)
            net.brokers["b1"].pause()
            raise ZeroDivisionError

    files, directories = descriptors(), []
    with pytest.raises(ZeroDivisionError):
        block()
    assert descriptors() == files
    assert not directories[0].exists()


def test_it_works_inside_async_code_with_and_without_async_with():
    async def with_async():
        async with TestNet() as net, net.node("n") as node:
            await node.connected()

    async def with_sync():
        with TestNet() as net:
            async with net.node("n") as node:
                await node.connected()

    asyncio.run(with_async())
    asyncio.run(with_sync())


def test_settings_are_those_of_tests_unless_others_are_given():
    assert TestNet().settings == Settings.test()
    settings = Settings.test(timeout_s=7.0)
    with TestNet(settings=settings) as net:
        assert net.node("n").settings is settings
        assert net.node("m", settings=Settings.wan()).settings == Settings.wan()


# -- members


def test_a_name_gives_the_same_member_again_but_not_with_other_rights():
    with TestNet(1) as net:
        net.node("n", call=["a"])
        assert net.node("n", call=["a"]).name == "n"
        with pytest.raises(ConfigError, match="other rights"):
            net.node("n", call=["b"])
        with pytest.raises(ConfigError):
            net.node("b1")


def test_join_names_the_file_of_a_member():
    with TestNet(1) as net:
        net.node("n")
        assert net.join("n").name == "n.braid"
        assert net.join("b1").is_file()
        with pytest.raises(ConfigError, match="nobody"):
            net.join("m")


@pytest.mark.parametrize("brokers", [0, -1, 51])
def test_a_silly_number_of_brokers_is_refused(brokers):
    with pytest.raises(ConfigError, match="brokers must be between"):
        TestNet(brokers)


def test_a_net_that_is_not_started_says_so_and_is_started_once():
    net = TestNet(1)
    assert net.brokers == {}
    with pytest.raises(ConfigError, match="not started"):
        net.node("n")
    with net, pytest.raises(ConfigError, match="once"):
        net.start()


def test_waiting_for_workers_that_do_not_come_times_out():
    with TestNet(2) as net:
        with pytest.raises(TimeoutError, match="b1, b2: still not enough workers of s"):
            net.wait_served("s", timeout=0.05)
        with pytest.raises(TimeoutError, match="b2: still"):
            asyncio.run(net.served("s", brokers=["b2"], timeout=0.05))


# -- faults


def test_a_killed_broker_comes_back_at_its_port_with_its_keys():
    with TestNet(1) as net:
        broker, client, worker = net.brokers["b1"], net.blocking_node("client"), net.blocking_node("worker")
        serve(worker)
        with client, worker:
            net.wait_served("s")
            client.request("s")
            endpoint = broker.endpoint
            broker.kill()
            assert (broker.state, is_open(broker)) == ("down", False)
            assert broker.counters["replies"] == 1
            broker.kill()
            broker.restart()
            assert (broker.state, broker.endpoint, is_open(broker)) == ("up", endpoint, True)
            assert broker.counters["replies"] == 0
            net.wait_served("s")
            client.request("s")
            assert net.counters["replies"] == 1


def test_what_a_killed_broker_has_is_not_sent():
    with TestNet(1) as net:
        broker, client, worker = net.brokers["b1"], net.blocking_node("client"), net.blocking_node("worker")
        ran = []

        @worker.service("s")
        def handler(_request):
            ran.append(1)
            return b""

        with client, worker:
            client.connected()
            net.wait_served("s")
            broker.pause()
            with pytest.raises(TimeoutError):
                client.request("s", timeout=0.1)
            broker.kill()
            broker.restart()
            net.wait_served("s")
            client.request("s")
        assert len(ran) == 1


def test_a_stopped_broker_drains_and_ends():
    with TestNet(2) as net:
        broker = net.brokers["b1"]
        with net.blocking_node("client") as client:
            until(lambda: all(each.state == "up" for each in client.brokers))
            broker.stop()
            broker.wait_stopped()
            assert broker.state == "down"
            with pytest.raises(BraidError, match="down"):
                broker.stop()
            broker.restart()
            until(lambda: all(each.state == "up" for each in client.brokers))


def peers(broker):
    return {peer.name: peer.link for peer in broker.report().brokers if peer.name != broker.name}


def test_a_paused_broker_does_nothing_until_it_goes_on():
    with TestNet(2) as net:
        broker, other = net.brokers.values()
        until(lambda: peers(other) == {"b1": "up"})
        broker.pause()
        assert broker.state == "paused"
        until(lambda: peers(other) != {"b1": "up"})
        for refused in (broker.pause, broker.report):
            with pytest.raises(BraidError, match="paused"):
                refused()
        assert broker.workers("s") == 0
        net.node("new")  # a paused broker learns of it later
        broker.resume()
        broker.resume()
        assert broker.state == "up"
        until(lambda: peers(other) == {"b1": "up"})
        with net.blocking_node("new") as node:
            until(lambda: all(each.state == "up" for each in node.brokers))


def test_a_paused_broker_can_be_killed():
    with TestNet(1) as net:
        net.brokers["b1"].pause()
        net.brokers["b1"].kill()
        assert net.brokers["b1"].state == "down"


def test_a_partition_silences_two_members_and_nobody_else():
    with TestNet(2) as net, net.blocking_node("cut") as cut, net.blocking_node("other") as other:
        for node in (cut, other):
            until(lambda node=node: all(each.state == "up" for each in node.brokers))
        net.partition("cut", "b1")
        until(lambda: (cut.brokers[0].problem or "").startswith("the broker was silent for too long"))
        assert is_open(net.brokers["b1"])
        until(lambda: [n.name for n in net.brokers["b1"].report().nodes] == ["other"])
        assert [broker.state for broker in other.brokers] == ["up", "up"]
        assert cut.brokers[1].state == "up"
        net.heal()
        until(lambda: cut.brokers[0].state == "up")


def test_a_partition_of_one_way_lets_the_other_way_pass():
    with TestNet(1) as net, net.blocking_node("n") as node:
        broker = net.brokers["b1"]
        until(lambda: node.brokers[0].state == "up")
        net.partition("b1", "n", one_way=True)
        until(lambda: node.brokers[0].state == "suspect")
        assert [each.state for each in broker.report().nodes] == ["open"]


def test_a_partition_between_brokers_is_seen_by_both():
    with TestNet(3) as net:
        b1, b2, b3 = net.brokers.values()
        whole = {"b1": {"b2": "up", "b3": "up"}, "b2": {"b1": "up", "b3": "up"}, "b3": {"b1": "up", "b2": "up"}}
        until(lambda: {broker.name: peers(broker) for broker in net.brokers.values()} == whole)
        net.partition("b1", "b2")
        until(lambda: peers(b1)["b2"] != "up" and peers(b2)["b1"] != "up")
        assert peers(b3) == whole["b3"]
        net.heal()
        until(lambda: {broker.name: peers(broker) for broker in net.brokers.values()} == whole)


def test_a_partition_needs_a_broker_and_known_names():
    with TestNet(1) as net:
        net.node("m"), net.node("n")
        with pytest.raises(ConfigError, match="nodes"):
            net.partition("m", "n")
        with pytest.raises(ConfigError, match="nobody"):
            net.partition("b1", "b2")


def test_a_broker_that_ends_by_an_error_of_its_own_fails_the_test():
    net = TestNet(1)
    net.start()

    def fail(*_):
        raise ZeroDivisionError

    net.brokers["b1"]._loop._lossy.flush = fail
    until(lambda: net.brokers["b1"].state == "down")
    with pytest.raises(BraidError, match="b1 ended by an error: ZeroDivisionError"):
        net.close()


def test_a_broker_that_cannot_start_says_why_and_nothing_stays_behind():
    files = descriptors()
    with TestNet(1) as net, socket.socket() as thief:
        net.brokers["b1"].kill()
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port_of(net.brokers["b1"])))
        thief.listen()
        with pytest.raises(BraidError, match="the port is in use"):
            net.brokers["b1"].restart()
        assert net.brokers["b1"].state == "down"
    assert descriptors() == files


def test_the_examples_of_the_module_run():
    source = Path(testing.__file__).read_text().partition('"""')[2].partition('"""')[0]
    example = source.partition("::\n")[2].partition("\nEvery broker")[0]
    body = "async def example():\n" + example
    namespace: dict[str, Any] = {"TestNet": TestNet, "Request": object}
    exec(body, namespace)
    asyncio.run(namespace["example"]())


def test_a_net_that_does_not_run_says_so():
    net = TestNet(1)
    uses = (
        lambda: net.wait_served("s"),
        lambda: asyncio.run(net.served("s", brokers=["b1"])),
        lambda: net.node("n"),
        lambda: net.blocking_node("m"),
        lambda: net.join("b1"),
        lambda: net.partition("n", "b1"),
        lambda: net.authority,
    )
    net.close()
    for use in uses:
        with pytest.raises(ConfigError, match="the net is not started: use 'with net'"):
            use()
    with net:
        net.node("n")
        net.partition("n", "b1")
    for use in uses:
        with pytest.raises(ConfigError, match="the net has ended"):
            use()


async def wait_here(wait):
    with pytest.raises(WrongLoop) as refused:
        wait()
    return str(refused.value)


def test_what_blocks_is_refused_in_an_event_loop():
    with TestNet(1) as net:
        assert "write 'await net.served(...)'" in asyncio.run(wait_here(lambda: net.wait_served("s")))
        net.brokers["b1"].stop()
        assert "write 'await broker.stopped()'" in asyncio.run(wait_here(net.brokers["b1"].wait_stopped))
