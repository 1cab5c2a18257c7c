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
from braidmq.wire.control import Services, encode_control
from braidmq.wire.envelope import CUT, REPLY, REQUEST, Envelope, decode, encode
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


def exchange(command: int, size: int) -> bytes:
    return encode(
        Envelope(
            command, bytes(15) + b"i", flags=1, retry_count=2, sent_ms=3, tag=4, service=b"v" * 127, sender=b"s" * 63,
            receiver=b"r" * 63, code=1, extension=b"\x01\0\x01\x80", payload=bytes(size),
        )
    )  # fmt: skip


@pytest.mark.parametrize("command", [REQUEST, REPLY])
def test_what_is_longer_than_it_takes_is_passed_over_and_its_names_stay(command: int) -> None:
    joiner = Joiner(2 * BUNDLE_BYTES, 10 * BUNDLE_BYTES)
    message = exchange(command, 8 * BUNDLE_BYTES)
    *fragments, last = pieces(message)
    for count, fragment in enumerate(fragments, 1):
        assert joiner.add(fragment) is None
        assert joiner.bytes == count * FRAGMENT_BYTES
        assert joiner._data.__sizeof__() < 3 * BUNDLE_BYTES
    stands_for = joiner.add(last)
    assert stands_for is not None
    assert decode(stands_for) == Envelope(
        CUT, bytes(15) + b"i", flags=1, retry_count=2, sent_ms=3, tag=4, service=b"v" * 127, sender=b"s" * 63,
        receiver=b"r" * 63, code=command, time_ms=len(message),
    )  # fmt: skip
    assert joined(joiner, pieces(MESSAGE[: BUNDLE_BYTES + 1])) == [MESSAGE[: BUNDLE_BYTES + 1]]


@pytest.mark.parametrize(
    "message",
    [
        exchange(REPLY, 11 * BUNDLE_BYTES),
        exchange(5, 5 * BUNDLE_BYTES),
        encode_control(Services(["s" * 100] * 5_000), 0),
        bytes(5 * BUNDLE_BYTES),
    ],
)
def test_what_is_longer_and_cannot_be_passed_over_is_a_misdeed(message: bytes) -> None:
    joiner = Joiner(2 * BUNDLE_BYTES, 10 * BUNDLE_BYTES)
    with pytest.raises(Misdeed, match="too long"):
        joined(joiner, pieces(message))


def test_what_is_passed_over_may_be_abandoned() -> None:
    joiner = Joiner(2 * BUNDLE_BYTES, 10 * BUNDLE_BYTES)
    assert joined(joiner, [*pieces(exchange(REPLY, 8 * BUNDLE_BYTES))[:-1], piece(ABANDON, b"")]) == []
    assert (joiner.bytes, len(joiner._data)) == (0, 0)
