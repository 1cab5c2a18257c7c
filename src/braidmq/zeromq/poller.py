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
        self._ready: set[int] = set()

    def register(self, descriptor: int) -> None:
        """Wait for a descriptor from now on."""
        self._poll.register(descriptor, _IN)

    def unregister(self, descriptor: int) -> None:
        """Wait for it no more."""
        self._poll.unregister(descriptor)
        self._ready.discard(descriptor)

    def mark_ready(self, descriptor: int) -> None:
        """Let the next `wait` return it at once, whatever it tells."""
        self._ready.add(descriptor)

    @property
    def has_ready(self) -> bool:
        """Whether the next `wait` returns at once."""
        return bool(self._ready)

    def wait(self, timeout_ms: int) -> set[int]:
        """Return the descriptors to look at; none if nothing happens within the time."""
        if self._ready:
            ready, self._ready = self._ready, set()
            timeout_ms = 0
        else:
            ready = set()
        for descriptor, _ in self._poll.poll(timeout_ms):
            ready.add(descriptor)
        return ready
