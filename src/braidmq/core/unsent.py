"""What a full pipe did not take."""

from collections.abc import Iterable


class Unsent:
    """Messages in order, and how many bytes they are; whoever keeps one bounds it."""

    __slots__ = ("_messages", "bytes")

    def __init__(self, messages: Iterable[bytes] = ()) -> None:
        self._messages: list[bytes] = []
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
        messages, self._messages, self.bytes = self._messages, [], 0
        return messages
