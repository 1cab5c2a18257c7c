"""The ROUTER with real sockets: full pipes, slow readers and peers that are gone."""

from time import monotonic, sleep

import pytest
import zmq

from braidmq.settings import KIB, Settings
from braidmq.zeromq.router import Router
from braidmq.zeromq.sockets import new_context
from braidmq.zeromq.zap import ZapHandler

MESSAGE = b"m" * 60 * KIB


class Everyone:
    """A directory that lets every key in."""

    def member(self, principal):
        return principal


@pytest.fixture
def rig():
    """A router, and a function that connects a peer and returns its socket and its route."""
    context, peers = new_context(), []
    zap = ZapHandler(context, Everyone())
    public, secret = zmq.curve_keypair()
    router = Router(context, Settings(outbox_bytes_max=1024 * KIB), secret)
    endpoint = router.bind("tcp://127.0.0.1:*")

    def connect():
        peer = context.socket(zmq.DEALER)
        peers.append(peer)
        peer.setsockopt(zmq.LINGER, 0)
        peer.setsockopt(zmq.RCVHWM, 1)
        peer.setsockopt(zmq.RCVBUF, 4 * KIB)
        peer.curve_publickey, peer.curve_secretkey = zmq.curve_keypair()
        peer.curve_serverkey = public
        peer.connect(endpoint)
        peer.send(b"hello")
        seen = []

        def greeted():
            zap.answer()
            seen.extend(router.receive(monotonic(), thorough=False))
            return seen

        wait(greeted)
        return peer, seen[0][0]

    yield router, connect
    for peer in peers:
        peer.close(0)
    router.close(0)
    zap.close()
    context.term()


def wait(condition, timeout=10.0):
    give_up_at = monotonic() + timeout
    while not condition():
        assert monotonic() < give_up_at
        sleep(0.002)


def test_a_peer_that_never_reads_is_given_up_at_the_limit(rig):
    router, connect = rig
    _peer, route = connect()
    sent, gone = 0, []
    while not gone:
        router.send({route: [MESSAGE]})
        sent += len(MESSAGE)
        gone = router.take_gone()
        assert sent < 200 * 1024 * KIB, "nothing bounds what waits for it"
    assert gone[0][0] == route
    assert gone[0][1], "what did not leave comes back"
    assert sum(map(len, gone[0][1])) <= 1024 * KIB + len(MESSAGE)


def test_what_a_full_pipe_did_not_take_leaves_in_order_once_there_is_room(rig):
    router, connect = rig
    peer, route = connect()
    count = 0
    while router.next_deadline() is None:  # until its pipe is full
        router.send({route: [b"%08d" % count + MESSAGE]})
        count += 1
    router.send({route: [b"%08d" % count + MESSAGE]})
    received = []

    def everything():
        router.on_timer(monotonic())
        while peer.poll(0):
            received.append(int(peer.recv()[:8]))
        return len(received) == count + 1

    wait(everything)
    assert received == list(range(count + 1))
    assert router.take_gone() == []


def test_a_peer_that_is_gone_is_told_with_what_was_not_sent(rig):
    router, connect = rig
    peer, route = connect()
    peer.close(0)
    gone = []

    def told():
        router.on_monitor(monotonic())
        router.on_timer(monotonic())
        gone.extend(router.take_gone())
        return gone

    wait(told)
    assert gone[0][0] == route
    router.send({route: [b"late"]})
    assert router.take_gone() == [(route, [b"late"])]
