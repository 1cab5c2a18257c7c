"""Waits for sockets by their descriptors, which costs a fraction of what libzmq's own poll does.

The descriptor of a ZeroMQ socket is edge-triggered: it tells once of what has come, and any call on the socket may take
that away. So whoever has used a socket asks it whether there is more, and says `again`.
"""

import select
from typing import Final

_IN: Final = select.POLLIN


class Poller:
    """The descriptors of a thread."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._again: set[int] = set()

    def register(self, descriptor: int) -> None:
        """Wait for a descriptor from now on."""
        self._poll.register(descriptor, _IN)

    def unregister(self, descriptor: int) -> None:
        """Wait for it no more."""
        self._poll.unregister(descriptor)
        self._again.discard(descriptor)

    def again(self, descriptor: int) -> None:
        """Let the next `wait` return it at once, whatever it tells."""
        self._again.add(descriptor)

    @property
    def hurried(self) -> bool:
        """Whether the next `wait` returns at once."""
        return bool(self._again)

    def wait(self, timeout_ms: int) -> set[int]:
        """Return the descriptors to look at; none if nothing happens within the time."""
        if self._again:
            ready, self._again = self._again, set()
            timeout_ms = 0
        else:
            ready = set()
        for descriptor, _ in self._poll.poll(timeout_ms):
            ready.add(descriptor)
        return ready
