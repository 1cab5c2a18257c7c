"""Whose messages are handled when, and how much may wait."""

from braidmq.core.intake import (
    FRAME_BYTES,
    LARGE_WAITING_BYTES_MAX,
    PORTION_MESSAGES,
    TURN_MESSAGES_MAX,
    WAITING_BYTES_MAX,
    WORK_BYTES,
    Inlet,
    Intake,
)
from braidmq.wire.control import Heartbeat, encode_control
from braidmq.wire.envelope import REQUEST, Envelope, encode
from braidmq.wire.gossip import Rumor, Sync

HEARTBEAT = encode_control(Heartbeat(), 0)


def bundle(count: int) -> bytes:
    return HEARTBEAT * count


class Rig:
    def __init__(self) -> None:
        self.intake: Intake[str] = Intake(weighs=True)
        self.inlets: dict[str, Inlet[str]] = {}

    def offer(self, key: str, frame: bytes, now: float = 1.0, source: str = "") -> int:
        """Return how many messages are handled at once."""
        inlet = self.inlets.setdefault(key, Inlet())
        messages, intact = self.intake.offer(inlet, source or key, frame, now)
        assert intact
        return len(messages)

    def take(self) -> tuple[str, int] | None:
        portion = self.intake.take()
        self.intake.validate_state(list(self.inlets.values()))
        return None if portion is None else (portion[1], len(portion[2]))


def test_what_an_honest_member_sends_is_handled_at_once() -> None:
    rig = Rig()
    assert rig.offer("a", HEARTBEAT) == 1
    assert rig.offer("a", bundle(50)) == 50
    assert rig.offer("b", bundle(PORTION_MESSAGES)) == PORTION_MESSAGES
    assert rig.intake.since is None
    assert rig.take() is None


def test_of_a_large_bundle_one_portion_is_handled_and_the_rest_waits() -> None:
    rig = Rig()
    assert rig.offer("a", bundle(2 * PORTION_MESSAGES + 7)) == PORTION_MESSAGES
    rig.intake.validate_state(list(rig.inlets.values()))
    assert rig.intake.since == 1.0
    assert rig.take() == ("a", PORTION_MESSAGES)
    assert rig.take() == ("a", 7)
    assert rig.take() is None
    assert rig.intake.since is None


def test_the_budget_is_one_for_all_connections_of_a_key() -> None:
    rig = Rig()
    handled = [rig.offer("a", bundle(PORTION_MESSAGES // 2), source=f"connection {number}") for number in range(4)]
    assert handled == [PORTION_MESSAGES // 2, PORTION_MESSAGES // 2, 0, 0]


def test_each_turn_has_its_own_budget() -> None:
    rig = Rig()
    assert rig.offer("a", bundle(PORTION_MESSAGES), now=1.0) == PORTION_MESSAGES
    assert rig.offer("a", bundle(PORTION_MESSAGES), now=2.0) == PORTION_MESSAGES


def test_what_comes_later_never_goes_before_what_waits() -> None:
    rig = Rig()
    rig.offer("a", bundle(PORTION_MESSAGES + 1), now=1.0, source="first")
    assert rig.offer("a", HEARTBEAT, now=2.0, source="second") == 0
    assert rig.take() == ("first", 1)
    assert rig.take() == ("second", 1)


def test_those_who_wait_take_turns() -> None:
    rig = Rig()
    for key in ("a", "b"):
        rig.offer(key, bundle(3 * PORTION_MESSAGES))
    assert [rig.take() for _ in range(4)] == [(key, PORTION_MESSAGES) for key in ("a", "b", "a", "b")]


def test_garbage_behind_good_messages_is_told_with_the_last_portion() -> None:
    intake: Intake[str] = Intake(weighs=True)
    inlet: Inlet[str] = Inlet()
    messages, intact = intake.offer(inlet, "a", bundle(PORTION_MESSAGES) + b"garbage", 1.0)
    assert (len(messages), intact) == (PORTION_MESSAGES, True)
    portion = intake.take()
    assert portion is not None
    assert portion[2:] == ([], False)


def test_the_end_of_a_source_comes_behind_what_it_has_sent() -> None:
    rig = Rig()
    rig.offer("a", bundle(PORTION_MESSAGES + 1))
    assert rig.intake.end(rig.inlets["a"], "a")
    assert rig.take() == ("a", 1)
    assert rig.intake.take() == (rig.inlets["a"], "a", [], True)
    assert not rig.intake.end(rig.inlets["a"], "a")


def test_what_may_wait_is_bounded_also_for_tiny_frames() -> None:
    rig = Rig()
    rig.offer("a", bundle(PORTION_MESSAGES))
    frames = 0
    while not rig.inlets["a"].overflowed:
        rig.offer("a", HEARTBEAT)
        frames += 1
    assert frames == WAITING_BYTES_MAX // (len(HEARTBEAT) + FRAME_BYTES) + 1
    rig.intake.drop(rig.inlets["a"])
    assert rig.take() is None
    assert rig.intake.since is None


def large(size: int) -> bytes:
    return encode(Envelope(REQUEST, bytes(16), service=b"s", payload=bytes(size)))


def test_a_large_message_may_come_behind_more_small_ones_than_are_handled_at_once() -> None:
    rig = Rig()
    rig.offer("a", bundle(3 * PORTION_MESSAGES))
    assert rig.offer("a", large(4 * WAITING_BYTES_MAX)) == 0
    assert rig.offer("a", HEARTBEAT) == 0
    assert not rig.inlets["a"].overflowed
    assert [rig.take() for _ in range(4)] == [("a", PORTION_MESSAGES), ("a", PORTION_MESSAGES), ("a", 1), ("a", 1)]
    assert (rig.inlets["a"].bytes, rig.inlets["a"].large_bytes) == (0, 0)


def test_large_messages_that_wait_are_bounded_as_well() -> None:
    rig = Rig()
    rig.offer("a", bundle(2 * PORTION_MESSAGES))
    message, count = large(2 * WAITING_BYTES_MAX), 0
    while not rig.inlets["a"].overflowed:
        rig.offer("a", message)
        count += 1
    assert count == LARGE_WAITING_BYTES_MAX // len(message) + 1
    rig.intake.drop(rig.inlets["a"])
    assert not rig.inlets["a"].overflowed


def test_many_messages_in_one_long_frame_are_no_large_one() -> None:
    rig = Rig()
    rig.offer("a", bundle(2 * PORTION_MESSAGES))
    few = [encode(Envelope(REQUEST, bytes(16), service=b"s"))] * 2_000
    while not rig.inlets["a"].overflowed:
        rig.offer("a", b"".join(few))
    assert rig.inlets["a"].large_bytes == 0
    assert rig.inlets["a"].bytes <= WAITING_BYTES_MAX + 2 * len(b"".join(few))


def long_list(count: int) -> bytes:
    return encode_control(Sync([Rumor(f"x{number}", 1, "dead") for number in range(count)]), 0)


def test_a_long_control_message_counts_as_many() -> None:
    rig = Rig()
    long = long_list(1_000)
    assert len(long) > PORTION_MESSAGES * WORK_BYTES
    assert rig.offer("a", HEARTBEAT) == 1
    assert rig.offer("a", long) == 1
    assert rig.offer("a", long) == 0
    assert rig.offer("b", long) == 1
    assert rig.offer("a", long, now=2.0) == 0, "nothing goes before what waits"


def test_a_flood_of_long_lists_is_known_for_one() -> None:
    rig = Rig()
    long, count = long_list(9_000), 0
    while not rig.inlets or not rig.inlets["a"].overflowed:
        rig.offer("a", long)
        count += 1
        assert count < 100


def test_a_turn_handles_few_long_lists() -> None:
    rig = Rig()
    long = long_list(9_000)
    assert len(long) > TURN_MESSAGES_MAX * WORK_BYTES
    for _ in range(5):
        rig.offer("a", long)
    assert len(list(rig.intake.portions())) == 1
    assert len(list(rig.intake.portions())) == 1


def test_long_payloads_count_as_one_message() -> None:
    rig = Rig()
    request = encode(Envelope(REQUEST, bytes(16), service=b"s", payload=bytes(1_000_000)))
    assert [rig.offer("a", request) for _ in range(PORTION_MESSAGES)] == [1] * PORTION_MESSAGES
    rig = Rig()
    assert rig.offer("a", encode(Envelope(REQUEST, bytes(16), service=b"s", payload=bytes(1_000))) * 60) == 60
    assert rig.offer("a", HEARTBEAT) == 1


def test_where_nothing_is_weighed_a_long_list_keeps_nothing_waiting() -> None:
    intake: Intake[str] = Intake(weighs=False)
    inlet: Inlet[str] = Inlet()
    long = long_list(9_000)
    assert [len(intake.offer(inlet, "a", long, 1.0)[0]) for _ in range(PORTION_MESSAGES)] == [1] * PORTION_MESSAGES
