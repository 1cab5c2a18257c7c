"""A broker proves that strangers are refused, wherever it listens."""

import errno
import logging
import socket

import pytest

from braidmq.carrier import proof as module
from braidmq.carrier.asking import Asking
from braidmq.carrier.proof import ADDRESSES_MAX, prove_refused
from braidmq.core.links.link import Open
from braidmq.errors import BraidError
from braidmq.settings import Settings
from braidmq.zmtp.violation import Refusal
from tests.support.listeners import listening, new_pair

NOWHERE = "tcp://127.0.0.1:9"
"""Nothing listens at the port of `discard`."""

MEMBER = new_pair()


def nobody_but_a_member(key):
    if key != MEMBER.public:
        raise Refusal("400", "the key")
    return key.hex()


def everyone(key):
    return key.hex()


def nobody_for_now(_key):
    raise Refusal("300", "the key")


def prove(rig, reached=None):
    endpoints = (rig.endpoint,) if reached is None else reached
    prove_refused(rig.listener, rig.poller, "b1", rig.pair.public, endpoints)


REACHED = pytest.mark.parametrize(
    "reached", [None, (NOWHERE,), (), (NOWHERE,) * 20], ids=["bound", "nowhere", "none", "many"]
)


@REACHED
def test_who_refuses_strangers_may_start_wherever_it_can_be_reached(reached):
    with listening(authorise=nobody_but_a_member) as rig:
        prove(rig, reached)


@REACHED
def test_who_lets_strangers_in_may_not(reached):
    with listening(authorise=everyone) as rig, pytest.raises(BraidError, match="an unregistered key was let in"):
        prove(rig, reached)


@REACHED
def test_who_keeps_strangers_waiting_may_not(reached):
    with listening(authorise=nobody_for_now) as rig, pytest.raises(BraidError, match="was not refused, but met"):
        prove(rig, reached)


def test_who_holds_another_key_may_not():
    with listening(authorise=nobody_but_a_member) as rig:
        rig.pair = new_pair()
        with pytest.raises(BraidError, match="was not refused, but met: what answers there"):
            prove(rig)


def test_an_address_that_drops_packets_is_no_proof_and_no_obstacle(monkeypatch):
    monkeypatch.setattr(module, "ADDRESS_S_MAX", 0.01)
    with listening(authorise=nobody_but_a_member) as rig:
        prove(rig, ("tcp://203.0.113.1:9",))


def test_few_addresses_are_tried(monkeypatch):
    tried = []

    class Counting(Asking):
        def __init__(self, settings, pair, target: Open, over=None) -> None:
            tried.append(target.endpoint)
            super().__init__(settings, pair, target, over)

    monkeypatch.setattr(module, "Asking", Counting)
    with listening(authorise=nobody_but_a_member) as rig:
        prove(rig, (NOWHERE,) * 20)
    assert len(tried) == ADDRESSES_MAX + 1


@pytest.mark.parametrize(
    ("bound", "reached"),
    [
        ("tcp://0.0.0.0:5", ["tcp://127.0.0.1:5"]),
        ("tcp://[::]:5", ["tcp://127.0.0.1:5", "tcp://[::1]:5"]),
        ("tcp://192.0.2.1:5", ["tcp://192.0.2.1:5"]),
    ],
)
def test_wildcards_are_reached_at_this_machine(bound, reached):
    assert list(module._reachable((bound,))) == reached


def test_where_no_address_can_be_reached_it_is_proven_without_one(monkeypatch):
    def unreachable(_socket, _address):
        return errno.ENETUNREACH

    with listening(authorise=nobody_but_a_member) as rig:
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "connect_ex", unreachable)
            patch.setattr(rig.listener, "bind", None)
            prove(rig, (NOWHERE,))
        rig.member(MEMBER)


def test_no_further_address_is_opened_for_it(monkeypatch):
    with listening(authorise=nobody_but_a_member) as rig:
        monkeypatch.setattr(rig.listener, "bind", pytest.fail)
        prove(rig, (NOWHERE,))
        assert rig.listener._peers == {}


def test_the_log_is_told_of_other_strangers_but_not_of_the_one_that_proves_it(caplog):
    caplog.set_level(logging.DEBUG)
    with listening(authorise=nobody_but_a_member) as rig:
        prove(rig)
        rig.turn()
        assert "refused" not in caplog.text
        assert rig.listener.strangers.refused == 0


def test_members_that_come_meanwhile_lose_nothing(monkeypatch):
    """They may be through their handshake before the stranger is refused, and have said something."""
    with listening(authorise=nobody_but_a_member) as rig:
        member = rig.member(MEMBER)
        member.send([b"hello"])
        prove(rig)
        rig.until(lambda: rig.frames, member)
        assert [each[2] for each in rig.frames] == [b"hello"]


def test_nothing_is_left_of_the_stranger():
    with listening(Settings.test(), nobody_but_a_member) as rig:
        for _ in range(3):
            prove(rig)
        rig.turn()
        assert (rig.listener._peers, rig.gone, rig.frames) == ({}, {}, [])
        assert len(rig.listener._doorstep) == 0
