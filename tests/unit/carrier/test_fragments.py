"""What fragments make a message of, and which of them nobody may send."""

import pytest

from braidmq.carrier.fragments import (
    ABANDON,
    FRAGMENT_BYTES,
    LAST,
    MORE,
    UNDERSTANDS,
    WHOLE_BYTES_MAX,
    Joiner,
    highest_mark,
)
from braidmq.wire.limits import BUNDLE_BYTES, MESSAGE_BYTES_MAX
from braidmq.zmtp.violation import Misdeed

MESSAGE = bytes(range(256)) * 1024


def piece(mark: int, data: bytes) -> memoryview:
    return memoryview(bytes((mark,)) + data)


def pieces(message: bytes, size: int = FRAGMENT_BYTES) -> list[memoryview]:
    marks = {max(range(0, len(message), size)): LAST}
    return [piece(marks.get(at, MORE), message[at : at + size]) for at in range(0, len(message), size)]


def joined(joiner: Joiner, fragments: list[memoryview]) -> list[bytes]:
    return [message for message in map(joiner.add, fragments) if message is not None]


def test_marks_begin_no_message() -> None:
    assert min(MORE, LAST, ABANDON) > MESSAGE_BYTES_MAX.to_bytes(4)[0]


def test_a_fragment_with_its_mark_is_no_longer_than_a_bundle() -> None:
    assert FRAGMENT_BYTES + 1 == BUNDLE_BYTES


@pytest.mark.parametrize("size", [FRAGMENT_BYTES, 10_000, BUNDLE_BYTES // 2])
def test_messages_come_out_as_they_went_in_one_after_the_other(size: int) -> None:
    joiner = Joiner(len(MESSAGE))
    other = MESSAGE[: BUNDLE_BYTES + 1]
    assert joined(joiner, pieces(MESSAGE, size) + pieces(other, size)) == [MESSAGE, other]
    assert joiner.bytes == 0


def test_it_counts_what_has_come_of_a_message() -> None:
    joiner = Joiner(len(MESSAGE))
    for count, fragment in enumerate(pieces(MESSAGE)[:-1], 1):
        assert joiner.add(fragment) is None
        assert joiner.bytes == count * FRAGMENT_BYTES


def test_it_keeps_no_more_than_twice_what_has_come() -> None:
    joiner = Joiner(MESSAGE_BYTES_MAX)
    for size in [1] * 100 + [1_000] * 100 + [FRAGMENT_BYTES] * 50:
        joiner.add(piece(MORE, bytes(size)))
        assert joiner._data.__sizeof__() <= 2 * joiner.bytes + 100


@pytest.mark.parametrize(
    ("fragment", "why"),
    [
        (piece(MORE, b""), "empty"),
        (piece(LAST, b""), "empty"),
        (piece(MORE, bytes(FRAGMENT_BYTES + 1)), "a fragment that is too long"),
        (piece(LAST, bytes(FRAGMENT_BYTES)), "not long"),
        (piece(LAST, b"without a beginning"), "not long"),
        (piece(ABANDON, b""), "not begun"),
    ],
)
def test_a_fragment_that_nobody_may_send_is_a_misdeed(fragment: memoryview, why: str) -> None:
    with pytest.raises(Misdeed, match=why):
        Joiner(MESSAGE_BYTES_MAX).add(fragment)


@pytest.mark.parametrize("mark", [MORE, LAST])
def test_a_message_that_is_too_long_is_a_misdeed_with_its_first_byte_too_many(mark: int) -> None:
    joiner = Joiner(2 * FRAGMENT_BYTES)
    joiner.add(piece(MORE, bytes(FRAGMENT_BYTES)))
    joiner.add(piece(MORE, bytes(FRAGMENT_BYTES - 1)))
    with pytest.raises(Misdeed, match="too long"):
        joiner.add(piece(mark, b"12"))


def test_the_shortest_message_in_fragments_is_longer_than_a_bundle() -> None:
    for size, long in ((BUNDLE_BYTES, False), (BUNDLE_BYTES + 1, True)):
        joiner = Joiner(MESSAGE_BYTES_MAX)
        first, last = pieces(bytes(size))
        joiner.add(first)
        if long:
            assert joiner.add(last) == bytes(size)
        else:
            with pytest.raises(Misdeed, match="not long"):
                joiner.add(last)
    assert WHOLE_BYTES_MAX >= BUNDLE_BYTES


def test_what_is_abandoned_leaves_nothing_and_another_message_may_follow() -> None:
    joiner = Joiner(len(MESSAGE))
    first, *_ = pieces(MESSAGE)
    assert joined(joiner, [first, first, piece(ABANDON, b"")]) == []
    assert joiner.bytes == 0
    assert joined(joiner, pieces(MESSAGE)) == [MESSAGE]


@pytest.mark.parametrize("begun", [0, 1])
def test_an_abandonment_that_says_something_is_a_misdeed(begun: int) -> None:
    joiner = Joiner(len(MESSAGE))
    for fragment in pieces(MESSAGE)[:begun]:
        joiner.add(fragment)
    with pytest.raises(Misdeed, match="not begun"):
        joiner.add(piece(ABANDON, b"!"))


def test_marks_travel_where_both_sides_say_so() -> None:
    assert highest_mark(dict(UNDERSTANDS)) == ABANDON
    assert highest_mark({b"x-braid-fragments": b"1"}) == LAST
    assert highest_mark({b"x-braid-fragments": b"1", b"x-braid-abandon": b"2"}) == LAST
    assert highest_mark({b"x-braid-abandon": b"1"}) == 0
    assert highest_mark({}) == 0
