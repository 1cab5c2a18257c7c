"""A broker that sends too much, or nonsense: what it costs a node is bounded."""

from typing import Any

import pytest

from braidmq.bounds import HEARTBEAT_S_MIN
from braidmq.core.links.dialing import LASTED_S
from braidmq.core.links.link import MALFORMED_MAX, Failure, LinkState
from braidmq.core.links.lists import LIST_BYTES_MAX, LIST_BYTES_PER_S
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import UINT32
from braidmq.wire.gossip import Paths, Sync
from braidmq.wire.kinds import Control
from tests.support.rigs.node_rig import NodeRig


def names(count: int, first: int = 0) -> list[str]:
    return [f"{'n' * 100}{number}" for number in range(first, first + count)]


def count_taken_in(rig: NodeRig, monkeypatch: pytest.MonkeyPatch) -> list[Control]:
    """Return where control messages appear that the node decodes."""
    decoded: list[Control] = []
    decode = control.decode_control

    def note(message: bytes) -> Control:
        message_in = decode(message)
        assert message_in is not None
        decoded.append(message_in)
        return message_in

    monkeypatch.setattr(control, "decode_control", note)
    return decoded


class TestNonsense:
    def test_broker_that_goes_on_with_it_is_left_and_tried_again_later(self, make: Any) -> None:
        rig = make("a", "b")
        for _ in range(MALFORMED_MAX):
            rig["a"].say_bytes(b"nonsense")
        rig.advance(0.1)
        assert rig["a"].link.open
        rig["a"].say_bytes(b"nonsense")
        rig.advance(0.1)
        assert rig["a"].link.failure is Failure.NONSENSE
        assert any("again and again" in text for text in rig.warnings)
        rig.advance(10.0)
        assert rig["a"].link.state is LinkState.UP
        assert rig["b"].link.epoch == 1

    def test_pause_grows_though_its_sessions_last(self, make: Any) -> None:
        rig = make("a", settings=Settings(reconnect_s=0.1, reconnect_s_max=1.0))
        for failures in range(1, 6):
            while not rig["a"].link.open:
                rig.advance(0.5)
            rig.advance(2.0)
            for _ in range(MALFORMED_MAX + 1):
                rig["a"].say_bytes(b"nonsense")
            rig.advance(0.05)
            assert rig["a"].link.failures == failures

    def test_is_counted_for_each_session(self, make: Any) -> None:
        rig = make("a")
        for _ in range(3):
            for _ in range(MALFORMED_MAX):
                rig["a"].say_bytes(b"nonsense")
            rig["a"].die()
            rig.advance(6.0)
        assert rig["a"].link.epoch == 4


class TestSessionsInALoop:
    def test_broker_that_ends_each_session_at_once_is_tried_ever_more_seldom(self, make: Any) -> None:
        rig = make("a", settings=Settings(reconnect_s=0.1, reconnect_s_max=5.0))
        for _ in range(60):
            if rig["a"].connected:
                rig["a"].say(control.Goodbye("ended"))
            rig.advance(0.5)
        assert rig["a"].link.epoch < 25

    def test_end_of_a_session_that_has_lasted_is_no_failure(self, make: Any) -> None:
        rig = make("a")
        rig.advance(LASTED_S)
        rig["a"].say(control.Goodbye("ended"))
        assert rig["a"].link.failures == 1, "the one that is about to be tried"


class TestLists:
    @pytest.mark.parametrize(
        "message",
        [
            lambda turn: control.Services(names(10_000, turn)),
            lambda turn: control.Peers([control.Peer(b"x" * 300 + bytes([turn % 256]))] * 5_000),
        ],
    )
    def test_that_come_too_fast_are_not_even_read(
        self, make: Any, monkeypatch: pytest.MonkeyPatch, message: Any
    ) -> None:
        rig = make("a")
        decoded = count_taken_in(rig, monkeypatch)
        bundle = control.encode_control(message(0), 0)
        for turn in range(40):
            rig["a"].say(message(turn))
            rig.advance(0.05)
        rows = [each for each in decoded if isinstance(each, (control.Services, control.Peers))]
        assert len(rows) <= (LIST_BYTES_MAX + 2.5 * LIST_BYTES_PER_S) / len(bundle) + 1

    def test_newest_one_counts_in_the_end(self, make: Any) -> None:
        rig = make("a")
        for turn in range(20):
            rig["a"].say(control.Services(names(10_000, turn)))
        rig["a"].say(control.Services(["the-last"]))
        rig.advance(10.0)
        assert rig["a"].link.services == {b"the-last"}

    def test_waiting_one_does_not_outlive_its_session(self, make: Any) -> None:
        rig = make("a", provides=("echo",))
        for turn in range(20):
            rig["a"].say(control.Services(names(10_000, turn)))
        rig["a"].die()
        rig.advance(8.0)
        assert rig["a"].link.services == {b"echo"}

    def test_small_ones_are_taken_at_once(self, make: Any) -> None:
        rig = make("a")
        for turn in range(100):
            rig["a"].say(control.Services([f"s{turn}"]))
            assert rig["a"].link.services == {f"s{turn}".encode()}

    def test_one_that_says_nothing_new_changes_nothing(self, make: Any) -> None:
        rig = make("a")
        version = rig.core.links.version
        rig["a"].say(control.Services(["echo"]))
        assert rig.core.links.version == version

    def test_newcomers_of_one_that_had_to_wait_are_learned(self, make: Any) -> None:
        rig = make("a", "b")
        lists = rig["a"].link.lists
        lists.bytes_left, lists.counted_at = 0.0, rig.now
        rig["a"].say(control.Peers([control.Peer(b"a"), control.Peer(b"c")]))
        assert "c" not in rig.core.links.links
        rig.advance(0.2)
        assert "c" in rig.core.links.links


class TestOthers:
    def test_report_that_was_not_asked_for_is_not_read(self, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        rig = make("a")
        decoded = count_taken_in(rig, monkeypatch)
        rig["a"].say(control.Report("a"))
        assert not rig.core.reports
        rig.core.observe(rig.now)
        rig["a"].say(control.Report("a"))
        rig["a"].say(control.Report("a", software="another"))
        assert rig.core.reports["a"].software == ""
        assert sum(isinstance(each, control.Report) for each in decoded) == 1

    def test_what_is_none_of_a_nodes_business_is_not_read(self, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        rig = make("a")
        decoded = count_taken_in(rig, monkeypatch)
        rig["a"].say(Sync([]), control.Status(), control.Hello())
        assert not decoded
        assert not rig["a"].link.malformed

    def test_heartbeat_that_a_broker_asks_for_has_bounds(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].heartbeat_ms = 1
        rig.advance(0.0)
        assert rig["a"].link.heartbeat_s == HEARTBEAT_S_MIN

    def test_demand_for_what_is_not_offered_is_nothing(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        (service,) = rig.worker.services
        for number in range(1_000):
            rig["a"].say(control.Demand(f"s{number}", UINT32))
        assert not service.backlog

    def test_paths_that_name_nobody_known_cost_no_choice(self, make: Any, patch_cores: pytest.MonkeyPatch) -> None:
        rig = make("a", "b", provides=(), settings=Settings(brokers_connected_max=1))
        rig.advance(1.0)
        rig.call("lost")
        patch_cores.setattr(rig.core.selection, "_review", lambda: pytest.fail("it is made anew"))
        broker = next(each for each in rig.brokers.values() if each.link.open)
        for _ in range(10):
            rig.core.selection.on_paths(Paths("lost", ["x", "y"]), rig.now)
        assert broker.link.open
