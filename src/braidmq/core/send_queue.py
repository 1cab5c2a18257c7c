"""What is to be sent, by destination, until the shell takes it."""

from collections.abc import Container, Hashable
from typing import Generic, TypeVar

from braidmq.wire import control
from braidmq.wire.envelope import now_ms
from braidmq.wire.kinds import Control

K = TypeVar("K", bound=Hashable)


class SendQueue(Generic[K]):
    """Messages in order, for each destination. Bounded by what one turn of the shell can cause."""

    __slots__ = ("_sends",)

    def __init__(self) -> None:
        self._sends: dict[K, list[bytes]] = {}

    def put(self, destination: K, message: bytes) -> None:
        """Add a message."""
        messages = self._sends.get(destination)
        if messages is None:
            self._sends[destination] = [message]
        else:
            messages.append(message)

    def put_control(self, destination: K, message: Control, now: float) -> None:
        """Add a control message."""
        self.put(destination, control.encode_control(message, now_ms(now)))

    def drop(self, destination: K) -> list[bytes]:
        """Forget what is to be sent to a destination that is gone, and return it."""
        return self._sends.pop(destination, [])

    def take(self) -> dict[K, list[bytes]]:
        """Return all messages and forget them."""
        sends, self._sends = self._sends, {}
        return sends

    def validate_state(self, destinations: Container[K]) -> None:
        """Assert that messages wait for these destinations only. For tests."""
        for destination, messages in self._sends.items():
            assert messages
            assert destination in destinations
