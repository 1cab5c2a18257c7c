"""Nodes and brokers at the limits of their machine."""

import os
import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from braidmq.core.links.link import Failure
from braidmq.errors import BraidError
from braidmq.lab.processes.child import BRAIDMQ
from braidmq.lab.processes.waiting import wait_until
from braidmq.testing import TestNet
from tests.support.async_tests import until
from tests.support.scarcity import descriptors, only


@descriptors
async def test_a_node_at_any_limit_starts_and_connects_as_soon_as_it_can():
    async with TestNet(brokers=2) as net:
        for spare in range(6):
            node = net.node(f"n{spare % 4}")
            with only(spare):
                await node.start()
            await node.connected()
            node.kill()


@descriptors
def test_a_blocking_node_at_any_limit_starts_or_says_why_not():
    started, refused = 0, 0
    with TestNet(brokers=1) as net:
        for spare in range(10):
            node = net.blocking_node("n")
            with only(spare):
                try:
                    node.start()
                except BraidError as error:
                    assert "descriptors" in str(error)  # noqa: PT017 - it may also start
                    refused += 1
                    continue
            started += 1
            node.connected()
            node.kill()
    assert started
    assert refused


@descriptors
async def test_a_node_that_is_out_of_descriptors_says_so_and_recovers():
    def left_without():
        with suppress(OSError):
            while True:
                hogs.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        return node.brokers[0].problem == Failure.NO_ROOM

    async with TestNet(brokers=1) as net, net.node("n") as node:
        await node.connected()
        with only(0), ExitStack() as hogs:
            net.brokers["b1"].kill()
            await until(left_without)
        net.brokers["b1"].restart()
        await node.connected()


def test_a_broker_keeps_its_descriptors_from_a_flood_of_connections(live):
    live.add_members("b1")
    command = ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", *BRAIDMQ, "broker", "--join", live.join("b1")]
    broker = live.launch(command)
    broker.wait_for_line("b1 listens at")
    live.serve("--service", "echo", "--exec", "cat")
    live.wait_for_workers("echo")
    host, _, port = live.endpoints["b1"].removeprefix("tcp://").rpartition(":")
    with ExitStack() as flood:
        for _ in range(300):
            connection = flood.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex((host, int(port)))
        broker.wait_for_line("connections were turned away")
        if sys.platform == "linux":
            wait_until(lambda: len([*Path(f"/proc/{broker.pid}/fd").iterdir()]) < 90, "the reserve is free")
        assert live.report("b1").nodes, "who was there before is served"
        live.add_node("late", calls=["*"])  # the broker needs a descriptor to read of it
        broker.wait_for_line("is in force", timeout=10)
    wait_until(lambda: live.call("echo", "x", name="late").stdout == b"x", "there is room again")
    assert broker.end() == 0


def test_a_broker_without_descriptors_says_so(live):
    live.add_broker("b1")
    command = ["sh", "-c", 'ulimit -n 7; exec "$@"', "sh", *BRAIDMQ, "broker", "--join", live.join("b1")]
    broker = live.launch(command)
    assert broker.wait() == 1
    assert "a broker needs" in broker.log
    assert "LimitNOFILE=" in broker.log
    assert broker.log.count("\n") == 1
