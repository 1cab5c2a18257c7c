import pytest

from braidmq.wire.bundle import bundle_bytes_max, join, split
from braidmq.wire.envelope import COMMON, Command, Envelope, encode
from braidmq.wire.limits import BUNDLE_BYTES, MESSAGE_BYTES_MAX


def message(size: int, fill: int = 0) -> bytes:
    empty = encode(Envelope(Command.REQUEST, bytes((fill,)) * 16))
    whole = encode(Envelope(Command.REQUEST, bytes((fill,)) * 16, payload=bytes(size - len(empty))))
    assert len(whole) == size
    return whole


SHORTEST = COMMON.pack(COMMON.size, 0x10, Command.CANCEL, 0, 0, 0)


class TestSplit:
    def test_one_message_is_its_own_bundle(self) -> None:
        frame = message(100)
        messages, whole = split(frame)
        assert (messages, whole) == ([frame], True)
        assert messages[0] is frame, "a message that travels alone is not copied"

    def test_messages_come_back_in_order(self) -> None:
        messages = [message(100, 1), SHORTEST, message(50, 2)]
        assert split(b"".join(messages)) == (messages, True)

    def test_later_message_that_claims_the_size_of_the_whole_frame_is_malformed(self) -> None:
        frame = message(100) + (150).to_bytes(4) + message(50)[4:]
        assert split(frame) == ([message(100)], False)

    def test_empty_frame_is_malformed(self) -> None:
        assert split(b"") == ([], False)

    @pytest.mark.parametrize("length", [0, 1, 4, COMMON.size - 1])
    def test_length_below_the_common_prefix_ends_the_bundle(self, length: int) -> None:
        bad = length.to_bytes(4) + bytes(60)
        assert split(message(100) + bad + message(100)) == ([message(100)], False)

    @pytest.mark.parametrize("length", [0, 4, COMMON.size - 1])
    def test_frame_shorter_than_the_common_prefix_is_malformed_even_if_its_length_is_right(self, length: int) -> None:
        assert split(length.to_bytes(4) + bytes(max(0, length - 4))) == ([], False)

    @pytest.mark.parametrize("length", [101, 0xFFFFFFFF])
    def test_length_beyond_the_frame_ends_the_bundle(self, length: int) -> None:
        bad = length.to_bytes(4) + message(100)[4:]
        assert split(message(50) + bad) == ([message(50)], False)

    def test_every_truncation_keeps_what_stands_before_it(self) -> None:
        first, second = message(60, 1), message(70, 2)
        frame = first + second
        for size in range(1, len(frame)):
            messages, whole = split(frame[:size])
            assert messages == ([first] if size >= len(first) else [])
            assert whole == (size == len(first))


class TestJoin:
    def test_nothing_makes_no_bundle(self) -> None:
        assert list(join([])) == []

    def test_one_message_is_not_copied(self) -> None:
        alone = message(100)
        ((frame, count),) = join([alone])
        assert frame is alone
        assert count == 1

    def test_what_waits_leaves_as_one_frame(self) -> None:
        messages = [message(100, index) for index in range(20)]
        assert list(join(messages)) == [(b"".join(messages), 20)]

    def test_bundle_may_be_filled_to_its_bound(self) -> None:
        half = message(BUNDLE_BYTES // 2)
        assert list(join([half, half])) == [(half + half, 2)]

    def test_message_over_the_bound_begins_a_new_bundle(self) -> None:
        half, more = message(BUNDLE_BYTES // 2), message(BUNDLE_BYTES // 2 + 1)
        assert list(join([half, more, SHORTEST])) == [(half, 1), (more + SHORTEST, 2)]

    def test_large_message_travels_alone(self) -> None:
        small, large = message(100), message(BUNDLE_BYTES + 1)
        assert list(join([small, small, large, small])) == [(small + small, 2), (large, 1), (small, 1)]
        assert list(join([large, large])) == [(large, 1), (large, 1)]
        assert list(join([large])) == [(large, 1)]


class TestBundleBytesMax:
    def test_small_messages_are_bounded_by_the_bundle(self) -> None:
        assert bundle_bytes_max(1_000) == BUNDLE_BYTES

    def test_large_messages_are_bounded_by_themselves(self) -> None:
        assert bundle_bytes_max(BUNDLE_BYTES + 1) == BUNDLE_BYTES + 1

    def test_nothing_exceeds_the_largest_message(self) -> None:
        assert bundle_bytes_max(MESSAGE_BYTES_MAX + 1) == MESSAGE_BYTES_MAX
