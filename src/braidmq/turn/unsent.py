"""What a connection has not taken yet."""

from collections import deque
from collections.abc import Iterable


class Unsent:
    """Messages in order, and how many bytes they are; whoever keeps one bounds it."""

    __slots__ = ("_messages", "bytes")

    def __init__(self, messages: Iterable[bytes] = ()) -> None:
        self._messages: deque[bytes] = deque()
        self.bytes = 0
        self.add(messages)

    def __bool__(self) -> bool:
        return bool(self._messages)

    def add(self, messages: Iterable[bytes]) -> None:
        """Keep more messages."""
        for message in messages:
            self._messages.append(message)
            self.bytes += len(message)

    def take(self) -> list[bytes]:
        """Return all messages and forget them."""
        messages = list(self._messages)
        self._messages.clear()
        self.bytes = 0
        return messages

    def take_some(self, most: int) -> list[bytes]:
        """Return the first messages, of at most so many bytes but at least one if there is any, and forget them.

        To find out that a connection is still full must not cost as much as to send all that waits for it.
        """
        some: list[bytes] = []
        size = 0
        while self._messages and (not some or size + len(self._messages[0]) <= most):
            message = self._messages.popleft()
            some.append(message)
            size += len(message)
        self.bytes -= size
        return some
