"""Whatever is sent over a connection, and however little of it the system takes: the order of docs/protocol.md, 3.4."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from braidmq.carrier.fragments import ABANDON, FRAGMENT_BYTES, LAST, MORE, WHOLE_BYTES_MAX, Joiner
from braidmq.carrier.outbox import OVERTAKING, Outbox
from braidmq.wire.envelope import ATTEMPT_AT, ATTEMPT_END, CANCEL, LOST, REPLY, REQUEST, Envelope, decode, encode
from braidmq.wire.limits import BUNDLE_BYTES, MESSAGE_BYTES_MAX

COMMANDS = (1, 2, 3, 4, 5, 6, 7, 8, 34, 35, 37)
SIZES = (12, 12, 12, 1_000, 40_000, BUNDLE_BYTES, WHOLE_BYTES_MAX, WHOLE_BYTES_MAX + 1, 2 * FRAGMENT_BYTES, 200_000)

kinds = st.tuples(st.sampled_from(COMMANDS), st.sampled_from(SIZES))
small = st.tuples(
    st.sampled_from([command for command in COMMANDS if command in OVERTAKING]),
    st.sampled_from([size for size in SIZES if size < BUNDLE_BYTES]),
)
"""Those that may overtake large ones."""

doings = st.lists(st.one_of(st.lists(kinds, min_size=1, max_size=5), st.integers(1, 6)), max_size=20)
"""Messages that are sent together, or how many frames leave."""


def large(message: bytes) -> bool:
    return len(message) > WHOLE_BYTES_MAX


def overtakes(message: bytes) -> bool:
    return not large(message) and message[5] in OVERTAKING


class Wire:
    """An outbox, and a reader of its frames."""

    def __init__(self, *, fragments: bool) -> None:
        self.outbox = Outbox(fragments=fragments, abandons=True)
        self.joiner = Joiner(MESSAGE_BYTES_MAX)
        self.sent: list[bytes] = []
        self.got: list[bytes] = []
        self.begun: list[bytes] = []
        self.frames: list[str] = []

    def send(self, some: list[tuple[int, int]]) -> None:
        messages = []
        for command, size in some:
            number = len(self.sent + messages)
            head = b"\0\0\0\0\x10" + bytes((command,)) + number.to_bytes(6) + bytes(4) + number.to_bytes(20)
            messages.append(head.ljust(size, b".")[:size])
        self.sent += messages
        self.outbox.add(messages)

    def leave(self) -> None:
        """Let one frame leave."""
        if self.outbox.cuts:
            message, begin, end = self.outbox.piece()
            assert 0 < end - begin <= FRAGMENT_BYTES or not message
            mark = ABANDON if not message else LAST if end == len(message) else MORE
            self.outbox.piece_left()
            whole = self.joiner.add(memoryview(bytes((mark,)) + message[begin:end]))
            assert (whole is not None) == (mark == LAST)
            self.begun = [] if whole is None else [whole]
            self.frames.append("piece")
        else:
            self.begun = self.outbox.take_bundle()
            assert len(self.begun) == 1 or 0 < sum(map(len, self.begun)) <= BUNDLE_BYTES
            self.frames.append("small" if all(map(overtakes, self.begun)) else "others")
        self.got += self.begun


def perform(plan: list[Any], *, fragments: bool) -> Wire:
    wire = Wire(fragments=fragments)
    for what in plan:
        if isinstance(what, list):
            wire.send(what)
            continue
        for _ in range(what):
            if wire.outbox:
                wire.leave()
    return wire


@given(doings)
def test_nothing_is_lost_doubled_torn_or_out_of_the_order_that_matters(plan: list[Any]) -> None:
    wire = perform(plan, fragments=True)
    while wire.outbox:
        wire.leave()
    assert sorted(wire.got) == sorted(wire.sent)
    place = {message: index for index, message in enumerate(wire.got)}
    for index, earlier in enumerate(wire.sent):
        for later in wire.sent[index + 1 :]:
            if place[later] < place[earlier]:
                assert overtakes(later), "it must not overtake"
                assert not overtakes(earlier), "those that may overtake keep their order"
                assert large(earlier) or any(map(large, wire.sent[:index])), "nothing large was in the way"


@given(doings)
def test_what_is_returned_at_the_end_is_what_never_left_in_its_order(plan: list[Any]) -> None:
    wire = perform(plan, fragments=True)
    assert wire.outbox.take([]) == [each for each in wire.sent if each not in wire.got]


@given(doings)
def test_what_has_left_in_part_counts_as_never_left(plan: list[Any]) -> None:
    wire = perform(plan, fragments=True)
    whole = wire.got[: len(wire.got) - len(wire.begun)]
    assert wire.outbox.take(wire.begun) == [each for each in wire.sent if each not in whole]


@given(doings)
def test_whoever_knows_no_fragments_gets_all_in_its_order(plan: list[Any]) -> None:
    wire = perform(plan, fragments=False)
    while wire.outbox:
        wire.leave()
    assert wire.got == wire.sent
    assert "piece" not in wire.frames


@given(doings)
def test_what_waits_is_counted(plan: list[Any]) -> None:
    wire = perform(plan, fragments=True)
    left = sum(map(len, wire.got)) + wire.joiner.bytes
    assert wire.outbox.bytes == sum(map(len, wire.sent)) - left


@given(st.lists(small, min_size=30, max_size=60))
def test_small_and_large_ones_take_turns(some: list[tuple[int, int]]) -> None:
    wire = Wire(fragments=True)
    wire.send([(1, 10 * FRAGMENT_BYTES), *some])
    while wire.outbox:
        wire.leave()
    both = min(wire.frames.count("piece"), wire.frames.count("small"))
    assert wire.frames[: 2 * both] == ["piece", "small"] * both


sizes = st.sampled_from((10, BUNDLE_BYTES, 2 * FRAGMENT_BYTES, 200_000))
cancelling = st.lists(
    st.one_of(st.tuples(st.sampled_from((REQUEST, REPLY)), sizes), st.integers(1, 4), st.booleans()), max_size=20
)
"""Messages that are sent, how many frames leave, and whether the newest request is cancelled or the newest reply is
called back."""


@example([(REPLY, 2 * FRAGMENT_BYTES), 2, False])
@example([(REQUEST, 2 * FRAGMENT_BYTES), 2, True])
@given(cancelling)
def test_what_is_cancelled_or_called_back_arrives_whole_or_not_at_all_and_all_else_does(plan: list[Any]) -> None:
    wire = Wire(fragments=True)
    gone: list[bytes] = []
    instead: list[bytes] = []
    newest: dict[int, bytes] = {}
    for number, what in enumerate(plan):
        if isinstance(what, tuple):
            command, size = what
            newest[command] = encode(Envelope(command, bytes(16), tag=number, payload=bytes(size)))
            wire.sent.append(newest[command])
            assert wire.outbox.add([newest[command]]) == []
        elif what is True and REQUEST in newest:
            request = newest.pop(REQUEST)
            cancel = encode(Envelope(CANCEL, bytes(16), tag=decode(request).tag))
            dropped = wire.outbox.add([cancel])
            assert dropped in ([], [request])
            gone += dropped
            instead += [] if dropped else [cancel]
        elif what is False and REPLY in newest:
            reply = newest.pop(REPLY)
            waited = wire.outbox.bytes
            wire.outbox.call_back(reply[ATTEMPT_AT:ATTEMPT_END])
            if wire.outbox.bytes != waited:
                gone.append(reply)
                instead.append(encode(Envelope(LOST, bytes(16), tag=decode(reply).tag)))
        else:
            for _ in range(int(what)):
                if wire.outbox:
                    wire.leave()
    left = sum(map(len, wire.sent)) - sum(map(len, gone)) + sum(map(len, instead))
    assert wire.outbox.bytes <= left - sum(map(len, wire.got))
    while wire.outbox:
        wire.leave()
    assert sorted(wire.got) == sorted([each for each in wire.sent if each not in gone] + instead)
    assert (wire.outbox.bytes, wire.joiner.bytes) == (0, 0)
