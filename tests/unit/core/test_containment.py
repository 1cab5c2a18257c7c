"""Errors of our own end one session, are told once with what is needed to find them, and are counted."""

from collections.abc import Callable
from typing import Any

import pytest

from braidmq.core.broker.announcements import Announcements
from braidmq.core.broker.broker import TICK_S
from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.offers import Offers
from braidmq.core.client.call_book import CallBook
from braidmq.core.client.client import FAULT_PAUSE_S
from braidmq.core.events.event import ERROR
from braidmq.core.links.links import Links
from braidmq.core.membership.membership import MembershipCore
from braidmq.core.membership.peering import PeeringCore
from braidmq.core.worker.worker import WorkerCore
from braidmq.wire.control import Goodbye, Ready, encode_control
from braidmq.wire.envelope import REPLY, REQUEST, Envelope, encode
from tests.support.rigs.broker_rig import Rig
from tests.support.rigs.node_rig import NodeRig


def failing(*_: Any, **__: Any) -> Any:
    raise OverflowError("as large as \x1b[31m")


@pytest.fixture
def breakable(patch_cores: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what breaks a method of a core."""
    return lambda owner, name: patch_cores.setattr(owner, name, failing)


def unchecked(patch_cores: pytest.MonkeyPatch, core: Any) -> None:
    """Let the errors of a core be contained, which its own check would not let pass."""
    for kind in (type(core), PeeringCore):
        patch_cores.setattr(kind, "validate_state", lambda _self: None)


class TestBroker:
    def test_an_error_in_a_message_ends_its_session_and_no_other(self, breakable, patch_cores) -> None:
        rig = Rig()
        unchecked(patch_cores, rig.core)
        worker, client = rig.worker(), rig.client()
        hostile = rig.connect("hostile", serves=("*",))
        breakable(Offers, "on_ready")
        hostile.frame(encode_control(Ready("echo", 1), 0))
        patch_cores.undo()
        unchecked(patch_cores, rig.core)
        assert [each.reason for each in hostile.of(Goodbye)] == ["ended"]
        assert hostile.route not in rig.core.sessions
        client.request()
        worker.reply(worker.request_in())
        assert client.answer() == (REPLY, 0)
        (event,) = [each for each in rig.events if each.level == ERROR]
        assert "OverflowError" in str(event)
        assert "test_containment.py" in str(event)
        assert "bytes that begin with 0000" in str(event)
        rig.advance(TICK_S)
        assert rig.counters["faults"] == 1

    def test_the_same_error_is_told_once_and_counted_each_time(self, breakable, patch_cores) -> None:
        rig = Rig()
        unchecked(patch_cores, rig.core)
        breakable(Offers, "on_ready")
        for number in range(20):
            rig.connect(f"hostile{number}", serves=("*",)).frame(encode_control(Ready("echo", 1), 0))
        rig.advance(TICK_S)
        assert rig.counters["faults"] == 20
        assert sum(event.level == ERROR for event in rig.events) == 1

    def test_an_error_in_a_timer_of_a_request_ends_its_clients_session(self, breakable, patch_cores) -> None:
        rig = Rig()
        unchecked(patch_cores, rig.core)
        other, client = rig.client("other"), rig.client()
        rig.worker()
        client.request()
        breakable(Dispatcher, "_on_due")
        rig.advance(10.0, heartbeats=True)
        assert client.route not in rig.core.sessions
        assert other.route in rig.core.sessions

    @pytest.mark.parametrize(
        ("owner", "name"),
        [
            (Announcements, "on_tick"),
            (Dispatcher, "on_tick"),
            (Dispatcher, "on_end"),
            (Dispatcher, "on_unsent"),
            (Dispatcher, "on_dropped"),
        ],
    )
    def test_whatever_else_fails_the_broker_goes_on(self, breakable, patch_cores, owner: type, name: str) -> None:
        rig = Rig()
        unchecked(patch_cores, rig.core)
        client, other = rig.client(), rig.client("other")
        breakable(owner, name)
        rig.core.on_dropped(client.route, encode(Envelope(REQUEST, bytes(16))), rig.now)
        rig.core.on_unsent(client.route, [], rig.now)
        rig.core.on_disconnect(client.route, rig.now)
        rig.advance(TICK_S)
        patch_cores.undo()
        unchecked(patch_cores, rig.core)
        worker = rig.worker()
        other.request()
        worker.reply(worker.request_in())
        assert other.answer() == (REPLY, 0)
        assert client.route not in rig.core.sessions

    def test_an_error_among_the_brokers_is_contained(self, breakable, patch_cores) -> None:
        rig = Rig()
        unchecked(patch_cores, rig.core)
        rig.peer("b2")
        breakable(MembershipCore, "on_timer")
        rig.advance(3.5, heartbeats=True)
        assert 1 <= rig.core.peering.containment.count <= 4, "it is put off each time"

    def test_validation_fails_on_a_contained_error(self, breakable) -> None:
        rig = Rig()
        hostile = rig.connect("hostile", serves=("*",))
        breakable(Offers, "on_ready")
        with pytest.raises(AssertionError, match="an error of our own"):
            hostile.frame(encode_control(Ready("echo", 1), 0))


class TestNode:
    def test_an_error_in_a_message_ends_its_link_and_no_other(self, breakable, patch_cores) -> None:
        rig = NodeRig("a", "b")
        unchecked(patch_cores, rig.core)
        breakable(WorkerCore, "on_demand")
        breakable(Links, "on_malformed")
        rig.brokers["a"].say_bytes(b"garbage")
        states = {name: link.open for name, link in rig.core.links.links.items()}
        assert states == {"a": False, "b": True}
        assert rig.core.containment.count == 1

    def test_an_error_in_a_timer_of_a_call_costs_no_other_call_its_end(self, patch_cores) -> None:
        rig = NodeRig("a", "b")
        unchecked(patch_cores, rig.core)
        broken, *others = [rig.call(timeout_s=0.5) for _ in range(4)]
        on_deadline = CallBook.on_deadline
        healed = []

        def fails_for_one(self, call, now):
            if call.id == broken and not healed:
                failing()
            on_deadline(self, call, now)

        patch_cores.setattr(CallBook, "on_deadline", fails_for_one)
        rig.advance(0.6)
        assert all(id_ in rig.results for id_ in others)
        assert rig.core.containment.count == 1
        healed.append(True)
        rig.advance(FAULT_PAUSE_S)
        assert broken in rig.results

    def test_an_error_in_a_timer_of_a_job_costs_no_other_job_its_own(self, patch_cores) -> None:
        rig = NodeRig("a", serves={"echo": 4})
        unchecked(patch_cores, rig.core)
        for number in range(3):
            asked = Envelope(
                REQUEST, bytes((number,)) * 16, sender=b"c", service=b"echo", tag=number, time_ms=5_000, working_ms=100
            )
            rig["a"].say(asked)
        say_working = WorkerCore._say_working
        said = []

        def fails_for_one(self, job, now):
            said.append(job.request.tag)
            if said == [0]:
                failing()
            say_working(self, job, now)

        patch_cores.setattr(WorkerCore, "_say_working", fails_for_one)
        rig.advance(0.15)
        assert said == [0, 1, 2]

    def test_an_error_in_a_timer_does_not_stop_the_others(self, breakable, patch_cores) -> None:
        rig = NodeRig("a", "b")
        unchecked(patch_cores, rig.core)
        breakable(WorkerCore, "on_timer")
        before = rig.core.links.next_deadline()
        rig.core.on_timer(before)
        assert rig.core.links.next_deadline() > before
        assert rig.core.containment.count == 1
