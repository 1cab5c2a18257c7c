"""A broker proves that strangers are refused before it listens."""

import errno
import logging
import socket

import pytest

from braidmq.carrier.listener import Listener
from braidmq.carrier.proof import prove_refused
from braidmq.errors import BraidError
from braidmq.settings import Settings
from braidmq.zmtp.handshake import KeyPair
from braidmq.zmtp.violation import Refusal
from tests.support.listeners import new_pair
from tests.support.scarcity import descriptors

BROKER = new_pair()


def nobody(_key):
    raise Refusal("400", "the key")


def nobody_for_now(_key):
    raise Refusal("300", "the key")


def everyone(key):
    return key.hex()


def prove(authorise, pair=BROKER):
    prove_refused(Settings.test(), pair, authorise, "b1")


def test_who_refuses_strangers_may_start():
    prove(nobody)


def test_who_lets_strangers_in_may_not():
    with pytest.raises(BraidError, match="b1 does not start: an unregistered key was let in"):
        prove(everyone)


def test_who_keeps_strangers_waiting_may_not():
    with pytest.raises(BraidError, match="was not refused, but met"):
        prove(nobody_for_now)


def test_who_does_not_hold_its_key_may_not():
    with pytest.raises(BraidError, match="was not refused, but met: what answers there"):
        prove(nobody, KeyPair(new_pair().public, BROKER.secret))


def test_who_says_nothing_may_not(monkeypatch):
    monkeypatch.setattr("braidmq.carrier.proof.ANSWER_S_MAX", 0.1)
    monkeypatch.setattr(Listener, "frames", lambda _self, _now: [])
    with pytest.raises(BraidError, match="was not refused, but met: no answer"):
        prove(nobody)


def test_no_network_is_needed(monkeypatch):
    def no_network(*_args):
        raise OSError(errno.ENETUNREACH, "there is no network")

    monkeypatch.setattr(socket.socket, "connect_ex", no_network)
    monkeypatch.setattr(socket.socket, "bind", no_network)
    prove(nobody)


def test_the_log_is_not_told_of_it(caplog):
    caplog.set_level(logging.INFO)
    prove(nobody)
    assert caplog.records == []


@descriptors
def test_nothing_is_left_of_it():
    def opened():
        with socket.socket() as first:
            return first.fileno()

    before = opened()
    for _ in range(20):
        prove(nobody)
    assert opened() == before
