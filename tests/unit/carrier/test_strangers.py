"""A broker proves that strangers are refused, wherever it listens."""

import errno
import socket
import sys

import pytest
import zmq
from braidmq.carrier.router import Router
from braidmq.carrier.sockets import new_context
from braidmq.carrier.zap import ZapHandler

from braidmq.carrier import strangers
from braidmq.carrier.strangers import prove_refused
from braidmq.errors import BraidError
from braidmq.lab.processes.waiting import wait_until
from braidmq.settings import Settings

NOWHERE = "tcp://127.0.0.1:9"
"""Nothing listens at the port of `discard`."""


class Directory:
    def __init__(self, member):
        self._member = member

    def member(self, _principal):
        return self._member


@pytest.fixture
def proof():
    """Return a function that proves that a broker with a directory refuses strangers, reached at some endpoints."""
    context = new_context()
    made = []

    def prove(member=None, reached=None):
        zap = ZapHandler(context, Directory(member))
        public, secret = zmq.curve_keypair()
        router = Router(context, Settings(), secret)
        made.extend([lambda: router.close(0), zap.close])
        bound = router.bind("tcp://127.0.0.1:*")
        endpoints = (bound,) if reached is None else reached
        prove_refused(context, Settings(), router, zap, name="b1", key=public, endpoints=endpoints)
        return router

    yield prove
    for close in made:
        close()
    context.term()


@pytest.mark.parametrize("reached", [None, (NOWHERE,), (), (NOWHERE,) * 20], ids=["bound", "nowhere", "none", "many"])
def test_who_refuses_strangers_may_start_wherever_it_can_be_reached(proof, reached):
    proof(reached=reached)


@pytest.mark.parametrize("reached", [None, (NOWHERE,), ()], ids=["bound", "nowhere", "none"])
def test_who_lets_strangers_in_may_not(proof, reached):
    with pytest.raises(BraidError, match="b1 does not start: an unregistered key was let in"):
        proof(member="everyone", reached=reached)


def test_an_address_that_drops_packets_is_no_proof_and_no_obstacle(proof, monkeypatch):
    monkeypatch.setattr(strangers, "ADDRESS_S_MAX", 0.01)
    proof(reached=("tcp://203.0.113.1:9",))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is a file")
def test_the_private_address_is_gone_afterwards(proof):
    router = proof(reached=(NOWHERE,))
    name = router.socket.getsockopt(zmq.LAST_ENDPOINT).removeprefix(b"ipc://@").rstrip(b"\0")

    def refused():
        with socket.socket(socket.AF_UNIX) as stranger:
            return stranger.connect_ex(b"\0" + name) == errno.ECONNREFUSED

    wait_until(refused, "nothing listens there any more")
