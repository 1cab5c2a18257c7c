"""The registry at a broker: what members may ask of it, how often, and what that costs."""

import pytest

from braidmq.core.broker.bars import SESSIONS_BURST
from braidmq.core.broker.broker import TICK_S
from braidmq.core.broker.key_usage import OFFENCES_MAX
from braidmq.core.broker.session_life import STRANGER_FRAMES_MAX
from braidmq.core.registry.handing import HANDED_BYTES_MAX, HANDED_BYTES_PER_S
from braidmq.members import Member, Role
from braidmq.wire.control import Goodbye, Hello, Welcome, encode_control
from braidmq.wire.registry import (
    PART_BYTES,
    PARTS_AHEAD,
    CertificateIs,
    Enrol,
    Enrolled,
    EnrolmentRow,
    RegistryPart,
    RegistryVersion,
    RegistryWanted,
    RosterIs,
)
from tests.support.rigs.broker_rig import Rig
from tests.support.rigs.credentials import MovingRegistry, encoded
from tests.support.tokens import NOW, TOKEN, enrol, invite, member_key

PEERS = ("b2",)


def rig_with(*invitations, size=0):
    registry = MovingRegistry(*invitations, peers=PEERS, size=size)
    rig = Rig(registry=registry, credentials=registry, unix_s=NOW)
    registry.on_adopted = rig.revoke_grants
    return rig


def holder_of_a_token(rig):
    member = rig.stranger("token", principal=TOKEN.curve_key.hex())
    member.hello()
    assert member.of(Welcome)
    return member


def publisher(rig, name="operator"):
    rig.registry.members[f"key-of-{name}"] = Member(name, Role.NODE, publish=True)
    member = rig.stranger(name)
    member.hello()
    member.take()
    return member


def hand_in(member, data, version):
    member.control(RegistryVersion(version, b"x"))
    assert member.of(RegistryWanted)
    member.control(RegistryPart(version, 0, len(data), 0, data))
    for _ in range(3):
        member.rig.tick()


def test_a_registry_that_is_handed_in_cuts_off_whom_it_revokes():
    rig = rig_with()
    client, operator = rig.client("c1"), publisher(rig)
    hand_in(operator, encoded(2, "c1"), 2)
    assert rig.registry.version == 2
    assert client.route not in rig.core.sessions
    assert [each.reason for each in client.of(Goodbye)] == ["refused"]
    client.hello()
    assert client.route not in rig.core.sessions


def test_its_papers_are_told_to_a_member_once_however_often_it_says_hello():
    rig = rig_with()
    rig.register("c1")
    member = rig.stranger("c1")
    for _ in range(50):
        member.hello()
    inbox = member.take()
    assert [type(each) for each in inbox].count(RosterIs) == 1
    assert [type(each) for each in inbox].count(CertificateIs) == 1


def test_a_member_that_has_more_than_its_broker_is_told_when_the_broker_has_it_too():
    rig = rig_with()
    rig.register("c1")
    member, operator = rig.stranger("c1"), publisher(rig)
    member.control(Hello(serial=2))
    assert not member.of(CertificateIs)
    rig.registry.serial = 2
    hand_in(operator, encoded(2), 2)
    assert len(member.of(CertificateIs)) == 1


def test_who_asks_for_its_papers_gets_them_without_a_session():
    rig = rig_with()
    rig.register("c1")
    guest = rig.stranger("c1")
    guest.control(Hello(asks=True))
    assert [type(each) for each in guest.take()] == [CertificateIs, RosterIs, Goodbye]
    assert not rig.core.sessions


def test_who_asks_for_its_papers_over_one_connection_without_end_is_cut():
    rig = rig_with()
    rig.register("c1")
    guest = rig.stranger("c1")
    hello = encode_control(Hello(asks=True), 0)
    for _ in range(STRANGER_FRAMES_MAX + 1):
        rig.core.on_frame(guest.route, guest.principal, hello, rig.now)
    assert guest.route in rig.core.take_cuts()
    rig.settle()
    assert len(guest.of(RosterIs)) == 1


def test_who_comes_for_its_papers_again_and_again_is_barred():
    rig = rig_with()
    rig.register("c1")
    for _ in range(SESSIONS_BURST + 1):
        guest = rig.stranger("c1")
        guest.control(Hello(asks=True))
        if rig.core.barred_s(guest.principal, rig.now):
            break
    assert rig.core.barred_s(guest.principal, rig.now)
    assert not guest.of(RosterIs)


def test_what_a_broker_says_in_a_new_session_outlasts_the_end_of_the_one_before():
    rig = rig_with()
    rig.register("b2", role=Role.BROKER)
    before, again = rig.stranger("b2"), rig.stranger("b2")
    before.hello()
    rig.core.on_disconnect(before.route, rig.now)  # and in the same turn
    told = (Hello(), RegistryVersion(1, b"x"))
    rig.core.on_frame(again.route, again.principal, b"".join(encode_control(each, 0) for each in told), rig.now)
    rig.settle()
    assert rig.core.registrar.core.versions == {"b2": 1}


@pytest.mark.parametrize("blob", [enrol(1), enrol(3), b"nonsense"])
def test_the_holder_of_a_token_that_enrols_in_vain_without_end_is_barred(blob):
    rig = rig_with(invite(uses=1))
    holder = holder_of_a_token(rig)
    holder.control(Enrol(enrol(1)))
    assert [each.refused for each in holder.of(Enrolled)] == [""]
    for _ in range(OFFENCES_MAX + 2):
        holder.control(Enrol(blob))
        if holder.route not in rig.core.sessions:
            break
    assert rig.core.barred_s(holder.principal, rig.now)
    assert rig.registry.roll.member(member_key(1).hex()) is not None


def test_who_asks_for_the_registry_without_end_gets_no_more_than_there_is_to_hand_out():
    rig = rig_with(size=4 * 1024 * 1024)
    rig.register("b2", role=Role.BROKER)
    broker = rig.stranger("b2")
    broker.hello()
    for number in range(200):
        broker.frame(encode_control(RegistryWanted(number, 0, PARTS_AHEAD), broker.sent_ms) * 100)
    rig.advance(TICK_S)
    size = sum(len(each.data) for each in broker.of(RegistryPart))
    assert 0 < size <= HANDED_BYTES_MAX + 2 * TICK_S * HANDED_BYTES_PER_S + PARTS_AHEAD * PART_BYTES


@pytest.mark.parametrize(
    "message",
    [
        RegistryVersion(9),
        RegistryWanted(0),
        RegistryPart(9, 0, 1, 0, b"x"),
        Enrol(enrol(1)),
        Enrolled([EnrolmentRow(enrol(1), NOW)]),
    ],
)
def test_who_has_no_right_to_it_has_no_say_in_the_registry(message):
    rig = rig_with(invite())
    member = rig.client("c1")
    member.control(message)
    assert rig.counters["malformed"] == 1
    assert not member.take()
    assert rig.registry.roll.member(member_key(1).hex()) is None
