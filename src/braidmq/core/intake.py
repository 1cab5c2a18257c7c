"""How much of what has come is handled at once, so that nobody's flood keeps the others waiting.

A frame of 64 KiB holds up to 5,461 messages, each of which costs its reader as much as a whole frame of another member.
And a list of 9,000 names costs as much as thousands of messages. So work is counted in messages, a long control message
of a broker's peer as many, for each **inlet**: a key, over all its connections, at a broker; a broker at a node.
What one inlet may have handled before the others have their turn is bounded, and what waits beyond that as well. Who
exceeds the latter sends faster than can be read for long, which nobody does who waits for answers.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from braidmq.wire.bundle import COMMON_BYTES, length_of, split_some
from braidmq.wire.envelope import COMMAND_AT, CONTROL_FIRST
from braidmq.wire.limits import BUNDLE_BYTES, MESSAGE_BYTES_MAX

PORTION_MESSAGES: Final = 128
"""Messages of one inlet that are handled before others have their turn: as many as honest members send at one moment,
and about a millisecond of work."""

TURN_MESSAGES_MAX: Final = 1_024
"""Messages that are handled before what they caused is sent, and others are read: about ten milliseconds of work."""

WAITING_BYTES_MAX: Final = 4 * 1024 * 1024
"""What may wait of one inlet, but for large requests and replies. It is far more than an honest member can cause: what
it has under way is bounded."""

LARGE_WAITING_BYTES_MAX: Final = MESSAGE_BYTES_MAX
"""What may wait of requests and replies that are larger than a bundle: one of the largest, or several that are less so.
Each is as little work as a small one, but it may be complete behind more small ones than are handled at once."""

WORK_BYTES: Final = 64
"""Bytes of a control message that are as much work as one more message: its lists are read entry by entry, while the
payload of a request or reply only passes."""

FRAME_BYTES: Final = 256
"""What a frame that waits costs beside its bytes, roughly: tiny ones must not add up."""

T = TypeVar("T")


def is_large(frame: bytes) -> bool:
    """Whether a frame is a single request, reply or the like that is larger than a bundle."""
    size = len(frame)
    return size > BUNDLE_BYTES and frame[COMMAND_AT] < CONTROL_FIRST and length_of(frame)[0] == size


class Inlet(Generic[T]):
    """What has come from one key, or from one broker.

    Attributes:
        read_at: when the present turn began.
        spent: how much was handled in it, in messages.
        frames: what waits: where it came from, the frame, and the place in it where reading goes on. A frame of no
            bytes stands for the end of its source.
        bytes: the size of it, but for large requests and replies.
        large_bytes: the size of those.
    """

    __slots__ = ("bytes", "frames", "large_bytes", "read_at", "spent")

    def __init__(self) -> None:
        self.read_at = 0.0
        self.spent = 0
        self.frames: deque[tuple[T, bytes, int]] = deque()
        self.bytes = 0
        self.large_bytes = 0

    @property
    def overflowed(self) -> bool:
        """Whether more waits than may."""
        return self.bytes > WAITING_BYTES_MAX or self.large_bytes > LARGE_WAITING_BYTES_MAX

    def count(self, frame: bytes, times: int) -> None:
        """Count a frame that waits from now on (1), or no more (-1)."""
        if is_large(frame):
            self.large_bytes += times * len(frame)
        else:
            self.bytes += times * (len(frame) + FRAME_BYTES)


class Intake(Generic[T]):
    """The inlets of which something waits, in the order of their turns.

    Attributes:
        since: since when something waits, which `take` had better be asked for now; None if nothing does.
        handled: how many messages it has given out so far.

    Args:
        weighs: whether long control messages count as more than one. Not at a node: brokers tell it long lists, and it
            may get large payloads right behind them, which had better not wait.
    """

    __slots__ = ("_waiting", "_weighs", "handled", "since")

    def __init__(self, *, weighs: bool) -> None:
        self._weighs = weighs
        self._waiting: dict[Inlet[T], None] = {}
        self.since: float | None = None
        self.handled = 0

    def offer(self, inlet: Inlet[T], source: T, frame: bytes, now: float) -> tuple[list[bytes], bool]:
        """Handle a frame; return what is to be handled now, and whether the frame is well formed as far as that.

        What is left waits for `take`. All that comes at one moment counts as one turn.
        """
        if now != inlet.read_at:
            inlet.read_at = now
            inlet.spent = 0
        if inlet.frames or inlet.spent >= PORTION_MESSAGES:
            self._wait(inlet, source, frame, 0, now)
            return [], True
        if len(frame) >= COMMON_BYTES and length_of(frame)[0] == len(frame):  # a message of its own, as most are
            inlet.spent += 1 if frame[5] < CONTROL_FIRST else self._work_of([frame])
            return [frame], True
        messages, at, intact = split_some(frame, 0, PORTION_MESSAGES - inlet.spent)
        inlet.spent += self._work_of(messages)
        self.handled += len(messages)
        if at < len(frame):
            self._wait(inlet, source, frame, at, now)
        return messages, intact

    def end(self, inlet: Inlet[T], source: T) -> bool:
        """Note that a source has ended; return whether it still has something here. Then `take` tells its end."""
        if not any(each is source for each, _, _ in inlet.frames):
            return False
        inlet.frames.append((source, b"", 0))
        return True

    def take(self) -> tuple[Inlet[T], T, list[bytes], bool] | None:
        """Return the next portion of the inlet whose turn it is, as `offer` does; None if nothing waits.

        No messages, though all is well, tell that the source has ended.
        """
        if not self._waiting:
            return None
        inlet = next(iter(self._waiting))
        del self._waiting[inlet]
        source, frame, at = inlet.frames.popleft()
        if not frame:
            messages: list[bytes] = []
            intact = True
        else:
            messages, end, intact = split_some(frame, at, PORTION_MESSAGES)
            self.handled += len(messages)
            if end < len(frame):
                inlet.frames.appendleft((source, frame, end))
            else:
                inlet.count(frame, -1)
        if inlet.frames:
            self._waiting[inlet] = None
        elif not self._waiting:
            self.since = None
        return inlet, source, messages, intact

    def portions(self) -> Iterator[tuple[T, list[bytes], bool]]:
        """Yield what `take` returns, as much as may be handled in one turn: source, messages, whether all is well.

        Handle each before the next one: what it causes may `drop` or `end` others.
        """
        left = TURN_MESSAGES_MAX
        while left > 0 and (portion := self.take()) is not None:
            _, source, messages, intact = portion
            left -= self._work_of(messages)
            yield source, messages, intact

    def drop(self, inlet: Inlet[T]) -> None:
        """Forget what waits of an inlet."""
        inlet.frames.clear()
        inlet.bytes = inlet.large_bytes = 0
        if inlet in self._waiting:
            del self._waiting[inlet]
            if not self._waiting:
                self.since = None

    def validate_state(self, inlets: list[Inlet[T]]) -> None:
        """Assert what always holds between two inputs, given all inlets. For tests and the simulator."""
        assert set(self._waiting) == {inlet for inlet in inlets if inlet.frames}
        assert (self.since is None) == (not self._waiting)
        for inlet in inlets:
            frames = [frame for _, frame, _ in inlet.frames if frame]
            others = [frame for frame in frames if not is_large(frame)]
            assert inlet.bytes == sum(map(len, others)) + FRAME_BYTES * len(others)
            assert inlet.large_bytes == sum(len(frame) for frame in frames if is_large(frame))
            assert not inlet.overflowed

    def _work_of(self, messages: list[bytes]) -> int:
        """Return as how many messages these count."""
        work = len(messages) or 1
        if self._weighs:
            for message in messages:
                if len(message) >= WORK_BYTES and message[5] >= CONTROL_FIRST:
                    work += len(message) // WORK_BYTES
        return work

    def _wait(self, inlet: Inlet[T], source: T, frame: bytes, at: int, now: float) -> None:
        if not frame:
            return
        inlet.frames.append((source, frame, at))
        inlet.count(frame, 1)
        self._waiting[inlet] = None
        if self.since is None:
            self.since = now
