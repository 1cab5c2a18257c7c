"""In which order a core, its carrier and its host are called in a turn."""

from typing import Any, cast

import pytest

from braidmq.core.links.link import Close, Failure, Open, Resolve, Step
from braidmq.turn.broker import BrokerTurn
from braidmq.turn.dialing import act
from braidmq.turn.node import LATE_S, NodeTurn

NOTHING: dict[str, Any] = {"take_sends": {}, "take_peer_sends": {}, "next_deadline": 9.0}
"""What calls return that have nothing to give, if not an empty tuple."""


class Recorded:
    """Notes who is called with what. A call returns what `gives` has for its name: a list from which each has one."""

    def __init__(self, who: str, calls: list[str], **gives: list[Any]) -> None:
        self._who, self._calls, self._gives = who, calls, gives
        self.told: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        if name == "stalled_s":
            return 0.0

        def call(*arguments: Any, **_options: Any) -> Any:
            self._calls.append(f"{self._who}.{name}")
            if name in ("on_latest", "on_frame"):
                self.told.append((name, arguments[:-1]))
            left = self._gives.get(name)
            return left.pop(0) if left else NOTHING.get(name, ())

        return call


def rank(calls: list[str], *names: str) -> list[int]:
    return [calls.index(name) for name in names]


def node(calls: list[str], *, core: dict[str, Any] | None = None, dialer: dict[str, Any] | None = None) -> NodeTurn:
    parts = (
        Recorded("core", calls, **(core or {})),
        Recorded("dialer", calls, **(dialer or {})),
        Recorded("host", calls),
    )
    return NodeTurn(*cast("tuple[Any, Any, Any]", parts))


def test_node_sends_what_is_due_before_time_passes_and_tells_last() -> None:
    calls: list[str] = []
    turn = node(calls, core={"take_sends": [{"b1": [b"m"]}], "take_events": [["event"]]})
    turn.due = 5.0
    assert turn.run(5.0) == turn.due == 9.0
    order = rank(calls, "dialer.send", "core.on_timer", "core.take_actions", "dialer.look_after", "host.tell")
    assert order == sorted(order)


def test_node_rests_after_its_timer_and_looks_whether_it_may_rest_on_after_whatever_comes() -> None:
    calls: list[str] = []
    turn = node(calls)
    turn.core.resting = False
    turn.due = 5.0
    turn.run(4.0)
    assert "core.rest" not in calls
    calls.clear()
    turn.due = 5.0
    turn.run(5.0)
    order = rank(calls, "core.on_timer", "core.take_events", "core.rest")
    assert order == sorted(order)
    assert calls[-1] == "core.next_deadline"
    calls.clear()
    turn.core.resting = True
    turn.run(6.0)
    assert calls[-2:] == ["core.rest", "core.next_deadline"]


def test_node_that_is_in_time_reads_nothing_in_its_turn_and_one_that_is_late_reads_first() -> None:
    calls: list[str] = []
    turn = node(calls)
    turn.due = 5.0
    turn.run(5.0 + LATE_S / 2)
    assert "dialer.frames" not in calls
    turn.due = 5.0
    calls.clear()
    turn.run(5.0 + 2 * LATE_S)
    order = rank(calls, "dialer.look_closer", "dialer.frames", "core.on_timer")
    assert order == sorted(order)


def test_node_whose_time_has_not_come_does_what_follows_all_the_same() -> None:
    calls: list[str] = []
    turn = node(calls)
    turn.due = 5.0
    turn.run(4.0)
    assert "core.on_timer" not in calls
    assert {"core.take_jobs", "core.take_results", "core.take_actions", "core.take_events"} <= set(calls)


def test_node_lets_calls_go_on_in_the_turn_in_which_their_connection_is_given_up() -> None:
    calls: list[str] = []
    core = {"take_sends": [{}, {}, {"b2": [b"m"]}], "take_results": [[], [(b"id", "end")]]}
    node(calls, core=core, dialer={"look_after": [[("b1", Failure.TOO_SLOW)]]}).run(4.0)
    order = rank(calls, "dialer.look_after", "dialer.close", "core.on_failed", "host.complete", "dialer.send")
    assert order == sorted(order)
    assert calls.count("dialer.look_after") == 2


def test_node_hears_at_once_what_was_dropped_and_tells_what_follows() -> None:
    calls: list[str] = []
    core = {"take_sends": [{"b1": [b"request", b"cancel"]}], "take_results": [[(b"id", "end")]]}
    node(calls, core=core, dialer={"send": [[b"request"]]}).run(4.0)
    order = rank(calls, "dialer.send", "core.on_dropped", "host.complete", "core.take_actions")
    assert order == sorted(order)
    assert calls.count("core.on_dropped") == 1


def test_broker_hears_at_once_what_was_dropped_and_sends_what_follows() -> None:
    calls: list[str] = []
    core = Recorded("core", calls, take_sends=[{b"r": [b"request", b"cancel"]}, {b"s": [b"reject"]}])
    listener = Recorded("listener", calls, send=[[(b"r", b"request")]])
    turn = BrokerTurn(*cast("tuple[Any, Any, Any, Any]", (core, listener, *(Recorded("x", calls) for _ in range(2)))))
    turn.run(1.0)
    first, second = (at for at, each in enumerate(calls) if each == "listener.send")
    assert first < calls.index("core.on_dropped") < second


def test_broker_reads_sends_and_then_lets_time_pass() -> None:
    calls: list[str] = []
    core = Recorded("core", calls, take_sends=[{b"r": [b"m"]}], take_cuts=[[b"s"]], take_events=[["event"]])
    listener = Recorded(
        "listener", calls, frames=[[(b"r", "key", b"f")]], take_gone=[[], [(b"q", [b"m"])]], next_deadline=[7.0]
    )
    dialer = Recorded("dialer", calls, news=[[("b2", Step.GREETED)]], frames=[[("b2", b"f")]])
    turn = BrokerTurn(*cast("tuple[Any, Any, Any, Any]", (core, listener, dialer, Recorded("host", calls))))
    assert turn.run(1.0) == 7.0, "the listener's deadline is the earlier one"
    order = rank(
        calls, "core.on_frame", "core.on_connected", "core.on_peer_frame", "listener.send", "listener.cut",
        "core.on_timer", "listener.flush", "core.take_actions", "core.on_unsent", "core.on_disconnect", "host.tell",
    )  # fmt: skip
    assert order == sorted(order)


def test_broker_is_told_what_came_last_of_each_connection_before_it_handles_what_came_first() -> None:
    calls: list[str] = []
    frames = [(b"r", "key", b"1"), (b"r", "key", b"2"), (b"s", "other", b"3")]
    core, listener = Recorded("core", calls), Recorded("listener", calls, frames=[frames, frames[1:]])
    turn = BrokerTurn(
        *cast("tuple[Any, Any, Any, Any]", (core, listener, Recorded("dialer", calls), Recorded("host", calls)))
    )
    turn.run(1.0)
    assert core.told[:2] == [("on_latest", (b"r", b"2")), ("on_latest", (b"s", b"3"))]
    assert core.told[2:] == [("on_frame", each) for each in frames]
    core.told.clear()
    turn.run(2.0)
    assert core.told == [("on_frame", each) for each in frames[1:]], "one of each connection is the last one"


def test_node_is_told_what_came_last_of_each_broker_before_it_handles_what_came_first() -> None:
    calls: list[str] = []
    frames = [("b1", b"1"), ("b1", b"2"), ("b2", b"3")]
    core = Recorded("core", calls)
    dialer = Recorded("dialer", calls, frames=[frames, frames[1:]])
    turn = NodeTurn(*cast("tuple[Any, Any, Any]", (core, dialer, Recorded("host", calls))))
    turn.read(1.0)
    assert core.told[:2] == [("on_latest", ("b1", b"2")), ("on_latest", ("b2", b"3"))]
    assert core.told[2:] == [("on_frame", each) for each in frames]
    core.told.clear()
    turn.read(2.0)
    assert core.told == [("on_frame", each) for each in frames[1:]], "one of each broker is the last one"


def test_wishes_are_granted_until_none_follows_from_another() -> None:
    calls: list[str] = []
    wishes = [[Resolve("b1", ("tcp://b1:1",))], [Open("b1", "tcp://b1:1", b"")], [Close("b1")], []]
    core = Recorded("core", calls, take_actions=wishes)
    host = Recorded("host", calls, looked_up=[[], [("b1", ["tcp://b1:1"])]])
    dialer = Recorded("dialer", calls, open=[Failure.NO_ROOM])
    act(*cast("tuple[Any, Any, Any]", (core, dialer, host)), 1.0)
    order = rank(calls, "host.look_up", "core.on_resolved", "dialer.open", "core.on_failed", "dialer.close")
    assert order == sorted(order)
    assert not wishes


@pytest.mark.parametrize(
    ("action", "arrived", "hung"),
    [(Close("b1", silent=True), True, True), (Close("b1", silent=True), False, False), (Close("b1"), True, False)],
)
def test_core_is_told_that_a_silent_broker_hangs_before_its_connection_is_closed(
    action: Close, arrived: bool, hung: bool
) -> None:
    calls: list[str] = []
    core, dialer = Recorded("core", calls, take_actions=[[action]]), Recorded("dialer", calls, has_arrived=[arrived])
    act(cast("Any", core), cast("Any", dialer), cast("Any", Recorded("host", calls)), 0.0)
    assert ("core.on_hung" in calls) is hung
    if hung:
        order = rank(calls, "dialer.has_arrived", "core.on_hung", "dialer.close")
        assert order == sorted(order)
    assert "dialer.close" in calls
