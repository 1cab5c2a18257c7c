from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from attacks.curve import PING
from attacks.lies import FORGED, IDS_AHEAD, LIES
from braidmq.members import Role
from braidmq.wire.control import Welcome, decode_control, encode_control
from braidmq.wire.envelope import REJECT, REQUEST, Envelope, Reason, decode


def session(name, role=Role.NODE, *, serves=False):
    member = SimpleNamespace(name=name, role=role, may_serve=lambda _service: serves)
    return SimpleNamespace(name=name.encode(), route=name.encode(), member=member)


class Lying:
    def __init__(self, name):
        self.client, self.worker = session("c1"), session("w1", serves=True)
        self.peer = session("b1", Role.BROKER)
        sessions = {each.route: each for each in (self.client, self.worker, self.peer)}
        self.said = []
        broker: Any = SimpleNamespace(name="rogue", sessions=sessions)
        self.lie = LIES[name](broker, lambda whom, message: self.said.append((whom, message)), Random(1))
        self.lie.on_begin()

    def ask(self, number=1, prefix=b"p" * 8):
        return self.lie.on_request(self.client, Envelope(REQUEST, prefix + number.to_bytes(8), tag=7))

    def exchanges(self):
        return [(whom.member.name, decode(message)) for whom, message in self.said]


@pytest.mark.parametrize(("name", "code"), [("busy", Reason.BUSY), ("denied", Reason.DENIED)])
def test_a_refusal_goes_to_whoever_asked_and_the_broker_hears_of_nothing(name, code):
    lying = Lying(name)
    assert lying.ask() is True
    [(whom, answer)] = lying.exchanges()
    assert (whom, answer.command, answer.code, answer.tag, answer.id) == (
        "c1",
        REJECT,
        code,
        7,
        b"p" * 8 + (1).to_bytes(8),
    )


def test_the_payload_limit_of_a_welcome_becomes_0_and_all_else_stays():
    lying = Lying("no-payload")
    changed = lying.lie.change(lying.client, encode_control(Welcome("rogue", "c1", 1000, 1 << 20), 5))
    assert changed is not None
    assert decode_control(changed) == Welcome("rogue", "c1", 1000, 0)
    assert lying.lie.change(lying.client, b"\0" * 12) == b"\0" * 12


def test_a_poisoner_takes_each_id_ahead_once_and_lets_the_request_pass():
    lying = Lying("poisoner")
    lying.said.clear()
    assert lying.ask(1) is False
    assert lying.ask(2) is False
    for _ in range(100):
        lying.lie.on_tick(0.0)
    asked = lying.exchanges()
    numbers = [int.from_bytes(each.id[8:]) for _, each in asked]
    assert numbers == list(range(2, IDS_AHEAD + 3))
    assert {(whom, each.sender, each.payload) for whom, each in asked} == {("w1", b"c1", FORGED)}


def test_a_poisoner_stops_where_ids_end():
    lying = Lying("poisoner")
    lying.said.clear()
    lying.ask((1 << 64) - 3)
    lying.lie.on_tick(0.0)
    assert len(lying.said) == 2


def test_who_is_mute_says_nothing_to_nodes_but_welcome():
    lying = Lying("mute")
    welcome = encode_control(Welcome("rogue", "c1", 1000, 1), 5)
    other = welcome[:5] + b"\x23" + welcome[6:]
    assert lying.lie.change(lying.client, welcome) == welcome
    assert lying.lie.change(lying.client, other) is None
    assert lying.lie.change(lying.peer, other) == other


def test_who_says_working_says_it_again_at_each_tick():
    lying = Lying("working")
    lying.ask()
    for _ in range(3):
        lying.lie.on_tick(0.0)
    assert len(lying.said) == 3


def test_pings_are_for_nodes_alone():
    lying = Lying("pings")
    lying.lie.on_tick(0.0)
    assert {whom.member.name for whom, _ in lying.said} == {"c1", "w1"}
    assert {message for _, message in lying.said} == {PING}
