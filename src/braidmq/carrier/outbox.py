"""What waits for a connection, and in which order it leaves: small messages pass a large one, between its fragments.

Messages leave in the order in which they came, but for those that may overtake (`may_overtake`): they pass a large one
that was begun or waits, and what has to stay behind that. A frame of them and a fragment take turns, so neither waits
for more than one of the other.

A large request that waits, or has left in part, is dropped when it is cancelled, and a large reply when it is called
back: nobody needs the rest of it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from braidmq.carrier.fragments import FRAGMENT_BYTES, WHOLE_BYTES_MAX
from braidmq.wire.control import Heartbeat
from braidmq.wire.envelope import (
    ATTEMPT_AT,
    ATTEMPT_END,
    CANCEL,
    COMMAND_AT,
    LOST,
    PREFIX_BYTES,
    REJECT,
    RENEW,
    REPLY,
    REQUEST,
    WORKING,
)
from braidmq.wire.forward import lost
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
    is looked at (`piece`) before it has left (`piece_left`). One of no message tells that the message of which pieces
    have left last is abandoned.

    Attributes:
        bytes: how much waits, less what has left of a large message.

    Args:
        fragments: whether large messages leave in pieces. If not, everything leaves in the order in which it came.
        abandons: whether one may be abandoned of which pieces have left.
    """

    __slots__ = (
        "_abandoned", "_abandons", "_at", "_fragments", "_passed", "_replies", "_requests", "_small", "_small_came",
        "_small_first", "_stays", "bytes",
    )  # fmt: skip

    def __init__(self, *, fragments: bool, abandons: bool = False) -> None:
        self.bytes = 0
        self._fragments = fragments
        self._abandons = abandons
        self._abandoned = False
        self._requests: dict[bytes, tuple[bytes, int]] = {}  # the large ones in _stays, by their tag and id
        self._replies: dict[bytes, tuple[bytes, int]] = {}
        self._small: deque[bytes] = deque()
        self._small_came = 0  # how many ever came into _small, and how many of them have left
        self._passed = 0
        self._stays: deque[tuple[bytes, int]] = deque()  # what is not small, or stays behind it; how many came before
        self._at = 0  # how much has left of the first one
        self._small_first = False  # whether small ones are next if there are any

    def __bool__(self) -> bool:
        return bool(self._small or self._stays or self._abandoned)

    def __len__(self) -> int:
        return len(self._small) + len(self._stays)

    def add(self, messages: Iterable[bytes]) -> Sequence[bytes]:
        """Keep more messages.

        Return the large requests that are dropped as one of these cancels them: none of them arrives, and neither does
        what has cancelled it.
        """
        dropped: list[bytes] = []
        for message in messages:
            if self._stays or (self._fragments and len(message) > WHOLE_BYTES_MAX):
                if self._requests and message[COMMAND_AT] == CANCEL:
                    request = self._drop(self._requests, message[ATTEMPT_AT:ATTEMPT_END])
                    if request:
                        dropped.append(request)
                        continue
                self._keep(message)
            else:
                self._small.append(message)
                self._small_came += 1
                self.bytes += len(message)
        return dropped

    @property
    def has_replies(self) -> bool:
        """Whether large replies wait, which `call_back` may be asked for."""
        return bool(self._replies)

    def call_back(self, attempt: bytes) -> None:
        """Let LOST take the place of a large reply, if it waits: nobody waits for the answer with its tag and id."""
        reply = self._drop(self._replies, attempt)
        if reply:
            self.add([lost(reply)])

    def split(self, *, abandons: bool) -> None:
        """From now on, let large messages leave in pieces: the other side takes those, and one that `abandons` them."""
        waiting = self.take([])
        self._fragments = True
        self._abandons = abandons
        for message in waiting:
            self._keep(message)

    @property
    def cuts(self) -> bool:
        """Whether a piece of a large message is to leave next."""
        return self._abandoned or (self._stays_next() and len(self._stays[0][0]) > WHOLE_BYTES_MAX)

    def piece(self) -> tuple[bytes, int, int]:
        """Return the large message, and where in it the piece begins and ends that is to leave next.

        It is empty to tell that the one before is abandoned.
        """
        if self._abandoned:
            return b"", 0, 0
        message = self._stays[0][0]
        return message, self._at, min(self._at + FRAGMENT_BYTES, len(message))

    def piece_left(self) -> None:
        """Note that the piece was taken; with the last one the message does not wait here any more."""
        if self._abandoned:
            self._abandoned = False
            return
        message, at, end = self.piece()
        self.bytes -= end - at
        self._small_first = True
        self._at = end
        if end == len(message):
            self._at = 0
            self._stays.popleft()
            of_kind = self._of_kind(message)
            if of_kind is not None:
                of_kind.pop(message[ATTEMPT_AT:ATTEMPT_END], None)

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
        self._requests.clear()
        self._replies.clear()
        self._abandoned = False
        self._small_came = self._passed = self._at = self.bytes = 0
        self._small_first = False
        return messages

    def _keep(self, message: bytes) -> None:
        """Keep a message where it belongs."""
        is_large = len(message) > WHOLE_BYTES_MAX
        if self._fragments and (is_large or (self._stays and not may_overtake(message))):
            kept = (message, self._small_came)
            self._stays.append(kept)
            of_kind = self._of_kind(message) if is_large else None
            if of_kind is not None:
                of_kind[message[ATTEMPT_AT:ATTEMPT_END]] = kept
        else:
            self._small.append(message)
            self._small_came += 1
        self.bytes += len(message)

    def _of_kind(self, message: bytes) -> dict[bytes, tuple[bytes, int]] | None:
        """Return where a large message is to be found that may be dropped."""
        command = message[COMMAND_AT]
        return self._requests if command == REQUEST else self._replies if command == REPLY else None

    def _drop(self, of_kind: dict[bytes, tuple[bytes, int]], attempt: bytes) -> bytes:
        """Drop a large message about an attempt, if it waits and that can be done; return it, or nothing."""
        kept = of_kind.get(attempt)
        if kept is None:
            return b""
        message, left = kept[0], 0
        if self._at and self._stays[0] == kept:  # not `is`: compiled code makes a tuple anew whenever it is fetched
            if not self._abandons or len(message) - self._at <= PREFIX_BYTES:  # what tells of it would be no shorter
                return b""
            self._abandoned = True
            left, self._at = self._at, 0
        self._stays.remove(kept)
        del of_kind[attempt]
        self.bytes -= len(message) - left
        return message

    def _stays_next(self) -> bool:
        """Whether the next to leave is what does not overtake: all that came before it has left, and it is its turn."""
        stays = self._stays
        if not stays or self._passed < stays[0][1]:
            return False
        return not (self._small and self._small_first)
