"""Connections to nodes: each is another peer, and what is sent over none is told so."""

import contextlib
import socket

import pytest
import zmq

from braidmq.bridges.router import Router
from braidmq.bridges.zgossip.limits import RECONNECT_S_MAX
from braidmq.bridges.zgossip.remotes import RECONNECT_S_MIN, Pauses, Remotes
from braidmq.errors import ConfigError
from tests.support.async_tests import pytest_pyfunc_call, until

__all__ = ["pytest_pyfunc_call"]


class Heard:
    """Stands behind connections, and notes what it is told."""

    def __init__(self):
        self.up, self.gone, self.messages = [], [], []

    def on_connected(self, peer):
        self.up.append(peer)

    def on_message(self, peer, frames):
        self.messages.append((peer, frames))

    def on_gone(self, peer):
        self.gone.append(peer)

    def on_read(self):
        """Nothing waits for it."""


@contextlib.asynccontextmanager
async def remotes(*endpoints):
    heard = Heard()
    router = Router(heard, payload_bytes_max=1_000_000)
    made = Remotes(heard, router)
    try:
        made.connect(endpoints)
        yield router, heard
    finally:
        await made.close()
        await router.close()


@pytest.fixture
def context():
    with zmq.Context() as made:
        yield made


@contextlib.contextmanager
def listening(context, endpoint="tcp://127.0.0.1:0"):
    with context.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.bind(endpoint)
        yield router


async def received(router):
    await until(lambda: router.poll(0))
    return router.recv_multipart()


async def test_messages_go_both_ways_and_a_node_that_comes_back_is_another_peer(context):
    with listening(context) as router:
        endpoint = router.last_endpoint.decode()
        async with remotes(endpoint) as (made, heard):
            await until(lambda: heard.up)
            [peer] = heard.up
            assert made.send(peer, (b"hello",))
            route, *frames = await received(router)
            assert frames == [b"hello"]
            router.send_multipart([route, b"one", b"two"])
            await until(lambda: heard.messages)
            assert heard.messages == [(peer, [b"one", b"two"])]
            router.close(0)
            await until(lambda: heard.gone)
            assert heard.gone == [peer]
            assert peer.gone
            assert not made.send(peer, (b"lost",))
            with listening(context, endpoint) as again:
                await until(lambda: len(heard.up) == 2)
                assert heard.up[1] is not peer
                assert made.send(heard.up[1], (b"again",))
                assert (await received(again))[1:] == [b"again"]


async def test_one_that_does_not_read_is_not_waited_for(context):
    with listening(context) as deaf:
        async with remotes(deaf.last_endpoint.decode()) as (made, heard):
            await until(lambda: heard.up)
            assert not all(made.send(heard.up[0], (bytes(60_000),)) for _ in range(10_000))


@pytest.mark.parametrize("endpoint", ["tcp://]:5", "tcp://a..b:5", "tcp://*:5", "tcp://1.2.3:5", "ipc:///" + "x" * 103])
async def test_endpoint_that_cannot_be_is_told(endpoint):
    with pytest.raises(ConfigError, match="cannot connect to "):
        async with remotes(endpoint):
            pass


def test_pauses_grow_until_a_connection_lasts_and_differ():
    made, most = Pauses(), RECONNECT_S_MIN
    for _ in range(20):
        assert most / 2 <= made.after(RECONNECT_S_MAX / 2) <= most <= RECONNECT_S_MAX
        most = min(2 * most, RECONNECT_S_MAX)
    assert most == RECONNECT_S_MAX
    assert made.after(RECONNECT_S_MAX) <= RECONNECT_S_MIN
    assert len({Pauses().after(0.0) for _ in range(10)}) > 1


async def test_node_that_ends_every_connection_is_come_back_to(monkeypatch):
    monkeypatch.setattr("braidmq.bridges.zgossip.remotes.RECONNECT_S_MIN", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        ended = []

        def ends(number):
            with contextlib.suppress(BlockingIOError):
                server.accept()[0].close()
                ended.append(number)
            return len(ended) == number

        async with remotes(f"tcp://127.0.0.1:{server.getsockname()[1]}") as (_, heard):
            await until(lambda: ends(4))
    assert heard.up == []
