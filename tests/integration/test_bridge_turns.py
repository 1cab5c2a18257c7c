"""Real processes: a foreign program that floods, beside others that ask for little."""

import pytest
import zmq

from braidmq.blocking import Node
from braidmq.lab.processes.ports import free_ports
from tests.support.processes import wait_until

SERVICES = """
import asyncio
from braidmq import Services

services = Services()
begun = []
gate = asyncio.Event()


@services.service("hold", concurrency=256)
async def hold(request):
    begun.append(request.payload)
    await gate.wait()
    return request.payload


@services.service("begun")
async def tell_begun(request):
    return b" ".join(begun)


@services.service("open")
async def open_gate(request):
    gate.set()
    return b""
"""

OTHERS = 10

FLOOD = 2_000
"""Calls of the one that floods, 256 of which a bridge takes."""


@pytest.fixture
def endpoint(live, tmp_path):
    live.add_members("b1")
    live.add_node("bridge-1", calls=["*"])
    live.broker("b1")
    (tmp_path / "app.py").write_text(SERVICES)
    live.serve("app:services", cwd=tmp_path)
    live.wait_for_workers("hold")
    endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    bridge = live.start("bridge", "majordomo", "--join", live.join("bridge-1"), "--bind", endpoint)
    bridge.wait_for_line("the majordomo bridge of bridge-1 listens at ")
    return endpoint


def test_calls_of_others_are_run_while_all_that_one_which_floods_may_have_are_under_way(live, endpoint):
    with zmq.Context() as context, Node(live.join("client")) as node:
        peers = [context.socket(zmq.DEALER) for _ in range(OTHERS + 1)]
        try:
            for peer in peers:
                peer.setsockopt(zmq.LINGER, 0)
                peer.setsockopt(zmq.SNDHWM, FLOOD)
                peer.connect(endpoint)
            flooder, *others = peers
            for number in range(FLOOD):
                flooder.send_multipart([b"", b"MDPC01", b"hold", b"f%d" % number])

            def begun():
                return node.request("begun", timeout=20).payload.split()

            wait_until(lambda: len(begun()) >= 196, "its calls are under way")
            for number, other in enumerate(others):
                other.send_multipart([b"", b"MDPC01", b"hold", b"o%d" % number])
            names = {b"o%d" % number for number in range(OTHERS)}
            wait_until(lambda: names <= {*begun()}, "those of the others are, too")
            assert len(begun()) == 196 + OTHERS
            node.request("open", timeout=20)
            for number, other in enumerate(others):
                assert other.poll(20_000)
                assert other.recv_multipart()[-1] == b"o%d" % number
        finally:
            for peer in peers:
                peer.close()
