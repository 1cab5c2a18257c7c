"""Waits for sockets: epoll or what the system has in its place."""

import selectors
from collections.abc import Callable, Iterable
from typing import Final

_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE


class Poller:
    """The descriptors of a thread. What can be read, or written where that is wanted, is told at each `wait`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._select: Callable[[float | None], list[tuple[selectors.SelectorKey, int]]] = self._selector.select

    def register(self, descriptor: int) -> None:
        """Wait from now on until a descriptor can be read."""
        self._selector.register(descriptor, _READ)

    def watch(self, descriptor: int, *, reading: bool, writing: bool) -> None:
        """Wait until it can be read, or written, or for both."""
        self._selector.modify(descriptor, (_READ if reading else 0) | (_WRITE if writing else 0))

    def unregister(self, descriptor: int) -> None:
        """Wait for it no more, if it is waited for."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def wait(self, timeout_s: float) -> Iterable[tuple[int, bool]]:
        """Return the descriptors of which something is to be told, and whether it is only that they can be written."""
        return [(key.fd, events == _WRITE) for key, events in self._select(timeout_s)]

    def close(self) -> None:
        """Give back what it has of the system."""
        self._selector.close()
