"""Another registry at a broker with more sessions than it looks at in one turn."""

from typing import Any

import pytest

from braidmq.core.broker import review
from braidmq.core.broker.session_life import SessionLife
from braidmq.members import Role
from braidmq.wire.control import Goodbye
from braidmq.wire.registry import CertificateIs
from tests.support.rigs.broker_rig import Rig
from tests.support.rigs.credentials import MovingRegistry

NODES = 10


@pytest.fixture
def looked(patch_cores: pytest.MonkeyPatch) -> list[str]:
    """Three sessions in a turn; the names of those that were looked at."""
    patch_cores.setattr(review, "REVIEWED_PER_TURN", 3)
    honest, names = SessionLife.on_rights, []

    def on_rights(self: Any, session: Any, now: float) -> None:
        names.append(session.member.name)
        honest(self, session, now)

    patch_cores.setattr(SessionLife, "on_rights", on_rights)
    return names


def crowd(rig: Rig) -> list[Any]:
    return [rig.connect(f"n{number}", calls=("*",)) for number in range(NODES)]


def begin(rig: Rig, *gone: Any) -> None:
    """Let another registry come into force that lacks some."""
    for member in gone:
        del rig.registry.members[member.principal]
    rig.core.on_registry(rig.now)
    rig.settle()


def test_sessions_are_looked_at_some_in_each_turn(looked: list[str]) -> None:
    rig = Rig()
    members = crowd(rig)
    begin(rig, *members)
    seen = [len(looked)]
    while rig.core.review.left:
        assert rig.core.next_deadline() <= rig.now
        rig.core.validate_state()
        rig.tick()
        seen.append(len(looked))
    assert seen == [3, 6, 9, 10]
    assert not rig.core.sessions
    assert all(any(isinstance(each, Goodbye) for each in member.take()) for member in members)
    assert rig.core.next_deadline() > rig.now


def test_who_says_something_is_looked_at_before_that_is_handled(looked: list[str]) -> None:
    rig = Rig()
    worker = rig.worker(service="echo", credit=9)
    members = crowd(rig)
    begin(rig, members[-1])
    rig.register(f"n{NODES - 2}")
    assert members[-1].route in rig.core.sessions
    for member in members[-2:]:
        member.request("echo")
    assert members[-1].route not in rig.core.sessions
    assert rig.counters["denied"] == 1
    assert len(looked) == 5
    while rig.core.review.left:
        rig.tick()
    assert len(looked) == 1 + NODES, "nobody is looked at twice"
    members[0].request("echo")
    assert (rig.counters["denied"], len(worker.requests())) == (1, 1)


def test_a_session_that_has_ended_meanwhile_and_one_that_has_begun_need_no_look(looked: list[str]) -> None:
    rig = Rig()
    members = crowd(rig)
    begin(rig)
    rig.core.on_disconnect(members[-1].route, rig.now)
    rig.connect("late")
    while rig.core.review.left:
        rig.tick()
    assert looked == [f"n{number}" for number in range(NODES - 1)]


def test_sessions_of_brokers_do_not_wait(looked: list[str]) -> None:
    rig = Rig()
    members = crowd(rig)
    broker = rig.connect("b9", role=Role.BROKER)
    begin(rig, broker)
    assert broker.route not in rig.core.sessions
    assert looked == ["n0", "n1", "n2", "b9"]
    assert len(members) == NODES


def test_an_even_newer_registry_begins_anew(looked: list[str]) -> None:
    rig = Rig()
    members = crowd(rig)
    begin(rig)
    begin(rig, members[0])
    assert members[0].route not in rig.core.sessions
    while rig.core.review.left:
        rig.tick()
    assert len(looked) == 3 + NODES


def test_members_hear_of_their_certificates_with_the_look_at_them(looked: list[str]) -> None:
    registry = MovingRegistry()
    rig = Rig(registry=registry, credentials=registry)
    rig.advance(3.0)
    members = crowd(rig)
    registry.serial = 5
    begin(rig)
    told = []
    while True:
        told.append(sum(any(isinstance(each, CertificateIs) for each in member.take()) for member in members))
        if not rig.core.review.left:
            break
        rig.tick()
    assert told == [3, 3, 3, 1]
    assert len(looked) == NODES
