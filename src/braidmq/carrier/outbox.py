"""What waits for a connection, and in which order it leaves: small messages pass a large one, between its fragments.

Messages leave in the order in which they came, but for those that may overtake (`may_overtake`): they pass a large one
that was begun or waits, and what has to stay behind that. A frame of them and a fragment take turns, so neither waits
for more than one of the other.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from braidmq.carrier.fragments import FRAGMENT_BYTES, WHOLE_BYTES_MAX
from braidmq.wire.control import Heartbeat
from braidmq.wire.envelope import COMMAND_AT, LOST, REJECT, RENEW, REPLY, REQUEST, WORKING
from braidmq.wire.limits import BUNDLE_BYTES

OVERTAKING: Final = frozenset((REQUEST, REPLY, WORKING, REJECT, LOST, RENEW, Heartbeat.NUMBER))
"""Commands of the messages that may overtake larger ones and what stays behind those. Each is about one attempt, says
nothing of what was sent before it, and keeps its place among those that are as small (docs/protocol.md, 3.4). CANCEL is
none: it must not come before its REQUEST. Neither are what grants, lists and ends."""


def may_overtake(message: bytes) -> bool:
    """Whether a message may leave before large ones that came before it, and before what stays behind those."""
    return COMMAND_AT < len(message) <= WHOLE_BYTES_MAX and message[COMMAND_AT] in OVERTAKING


class Outbox:
    """Messages that wait; whoever keeps one bounds it.

    What is to leave next is either a bundle (`take_bundle`) or a piece of a large message: `cuts` says which. A piece
    is looked at (`piece`) before it has left (`piece_left`).

    Attributes:
        bytes: how much waits, less what has left of a large message.

    Args:
        fragments: whether large messages leave in pieces. If not, everything leaves in the order in which it came.
    """

    __slots__ = ("_at", "_fragments", "_passed", "_small", "_small_came", "_small_first", "_stays", "bytes")

    def __init__(self, *, fragments: bool) -> None:
        self.bytes = 0
        self._fragments = fragments
        self._small: deque[bytes] = deque()
        self._small_came = 0  # how many ever came into _small, and how many of them have left
        self._passed = 0
        self._stays: deque[tuple[bytes, int]] = deque()  # what is not small, or stays behind it; how many came before
        self._at = 0  # how much has left of the first one
        self._small_first = False  # whether small ones are next if there are any

    def __bool__(self) -> bool:
        return bool(self._small or self._stays)

    def __len__(self) -> int:
        return len(self._small) + len(self._stays)

    def add(self, messages: Iterable[bytes]) -> None:
        """Keep more messages."""
        small, stays = self._small, self._stays
        for message in messages:
            self.bytes += len(message)
            if self._fragments and (len(message) > WHOLE_BYTES_MAX or (stays and not may_overtake(message))):
                stays.append((message, self._small_came))
            else:
                small.append(message)
                self._small_came += 1

    def split(self) -> None:
        """From now on, let large messages leave in pieces: the other side takes those."""
        waiting = self.take([])
        self._fragments = True
        self.add(waiting)

    @property
    def cuts(self) -> bool:
        """Whether a piece of a large message is to leave next."""
        return self._stays_next() and len(self._stays[0][0]) > WHOLE_BYTES_MAX

    def piece(self) -> tuple[bytes, int, int]:
        """Return the large message, and where in it the piece begins and ends that is to leave next."""
        message = self._stays[0][0]
        return message, self._at, min(self._at + FRAGMENT_BYTES, len(message))

    def piece_left(self) -> None:
        """Note that the piece was taken; with the last one the message does not wait here any more."""
        message, at, end = self.piece()
        self.bytes -= end - at
        self._small_first = True
        self._at = end
        if end == len(message):
            self._at = 0
            self._stays.popleft()

    def take_bundle(self) -> list[bytes]:
        """Return the messages that are to leave next, at most BUNDLE_BYTES but at least one, and forget them.

        To find out that a connection is still full must not cost as much as to send all that waits for it.
        """
        some: list[bytes] = []
        size = 0
        if self._stays_next():
            self._small_first = True
            stays = self._stays
            while stays and stays[0][1] <= self._passed:
                message = stays[0][0]
                if len(message) > WHOLE_BYTES_MAX or (some and size + len(message) > BUNDLE_BYTES):
                    break
                stays.popleft()
                some.append(message)
                size += len(message)
        else:
            self._small_first = False
            small = self._small
            while small and (not some or size + len(small[0]) <= BUNDLE_BYTES):
                message = small.popleft()
                some.append(message)
                size += len(message)
            self._passed += len(some)
        self.bytes -= size
        return some

    def take(self, begun: list[bytes]) -> list[bytes]:
        """Return all messages in the order in which they came, and forget them.

        Args:
            begun: what was taken last, if it has not left in full: it is returned with the others, in its place.
        """
        small, passed = self._small, self._passed
        if begun and not self._small_first:
            small.extendleft(reversed(begun))
            passed -= len(begun)
            begun = []
        messages = list(begun)
        for message, before in self._stays:
            while passed < before:
                messages.append(small.popleft())
                passed += 1
            messages.append(message)
        messages += small
        small.clear()
        self._stays.clear()
        self._small_came = self._passed = self._at = self.bytes = 0
        self._small_first = False
        return messages

    def _stays_next(self) -> bool:
        """Whether the next to leave is what does not overtake: all that came before it has left, and it is its turn."""
        stays = self._stays
        if not stays or self._passed < stays[0][1]:
            return False
        return not (self._small and self._small_first)
