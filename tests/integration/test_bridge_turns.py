"""Real processes: a foreign program that floods, beside others that ask for little."""

import contextlib
import hashlib
import select
from socket import create_connection

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


ALONE = 196
"""Calls that are on their way of one that is alone."""


@pytest.fixture
def net(live, tmp_path):
    live.add_members("b1")
    live.add_node("bridge-1", calls=["*"])
    live.broker("b1")
    (tmp_path / "app.py").write_text(SERVICES)
    live.serve("app:services", cwd=tmp_path)
    live.wait_for_workers("hold")
    return live


@pytest.fixture
def endpoint(net):
    endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    bridge = net.start("bridge", "majordomo", "--join", net.join("bridge-1"), "--bind", endpoint)
    bridge.wait_for_line("the majordomo bridge of bridge-1 listens at ")
    return endpoint


@pytest.fixture
def gateway(net, tmp_path):
    callers = tmp_path / "callers.toml"
    callers.touch(mode=0o600)
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("flood", "other")}
    callers.write_text("".join(f'[{name}]\ntokens_sha256 = ["{digest}"]\n' for name, digest in digests.items()))
    (port,) = free_ports(1)
    config = tmp_path / "bridge.toml"
    config.write_text(f'[http]\nbind = ["127.0.0.1:{port}"]\ncallers = "callers.toml"\n')
    bridge = net.start("bridge", "--config", config, "--join", net.join("bridge-1"))
    bridge.wait_for_line("the HTTP gateway of bridge-1 listens at ")
    return port


def test_callers_of_the_gateway_are_served_while_one_that_floods_has_all_that_it_may_have(net, gateway):
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(Node(net.join("client")))

        def call(token, number):
            connection = stack.enter_context(create_connection(("127.0.0.1", gateway)))
            body = f"{token}{number}"
            head = f"POST /services/hold HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nBraid-Timeout: 30\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            return connection

        def begun():
            return node.request("begun", timeout=20).payload.split()

        for number in range(256):
            call("flood", number)
        wait_until(lambda: len(begun()) >= ALONE, "its calls are under way")
        others = [call("other", number) for number in range(OTHERS)]
        names = {b"other%d" % number for number in range(OTHERS)}
        wait_until(lambda: names <= {*begun()}, "those of the other are, too")
        assert len(begun()) == ALONE + OTHERS
        node.request("open", timeout=20)
        for number, other in enumerate(others):
            answer = b""
            while not answer.endswith(b"other%d" % number):
                assert select.select([other], [], [], 20.0)[0]
                answer += other.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_calls_of_others_are_run_while_all_that_one_which_floods_may_have_are_under_way(net, endpoint):
    with zmq.Context() as context, Node(net.join("client")) as node:
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

            wait_until(lambda: len(begun()) >= ALONE, "its calls are under way")
            for number, other in enumerate(others):
                other.send_multipart([b"", b"MDPC01", b"hold", b"o%d" % number])
            names = {b"o%d" % number for number in range(OTHERS)}
            wait_until(lambda: names <= {*begun()}, "those of the others are, too")
            assert len(begun()) == ALONE + OTHERS
            node.request("open", timeout=20)
            for number, other in enumerate(others):
                assert other.poll(20_000)
                assert other.recv_multipart()[-1] == b"o%d" % number
        finally:
            for peer in peers:
                peer.close()
