"""Connections of HTTP that nobody can hold in vain: uvicorn's own, with limits of number and time."""

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS_MAX: Final = 128
"""Connections at once: a browser takes six, and Prometheus one. Each weighs some 100 KiB at most, besides one look. A
new one takes the place of the one that has waited longest, if there is one to which no answer is on its way."""

REQUEST_S_MAX: Final = 10.0
"""How long a request may take to come, head and body."""

UNREAD_S_MAX: Final = 30.0
"""How long somebody may take nothing of an answer."""


class Connection(H11Protocol):
    """A connection that is cut if its request does not come or its answer is not read, or if there are too many."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._asked_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._asked_at = self.loop.time()
        if len(self.connections) > CONNECTIONS_MAX and not self._take_place():
            transport.abort()
            return
        self._late = self.loop.call_later(REQUEST_S_MAX, transport.abort)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._asked_at = self.loop.time()
            self._late = _cancel(self._late)
        elif self._late is None:
            self._late = self.loop.call_later(REQUEST_S_MAX, self.transport.abort)

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_S_MAX, self.transport.abort)

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        super().resume_writing()
        self._unread = _cancel(self._unread)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        self._late, self._unread = _cancel(self._late), _cancel(self._unread)

    @property
    def _waits(self) -> bool:
        """Whether no answer is on its way: its request has not come yet, or its answer is not taken."""
        if self._unread is not None or self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            return True
        return self.cycle is None or self.cycle.response_complete

    def _take_place(self) -> bool:
        """Cut another connection for this one; return whether there is one that may be cut."""
        others = [each for each in self.connections if isinstance(each, Connection) and each is not self]
        found = min((each for each in others if each._waits), key=lambda each: each._asked_at, default=None)  # noqa: SLF001
        if found is None:
            return False
        found.transport.abort()
        self.connections.discard(found)
        return True


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Cancel a timer, and return what takes its place: none."""
    if timer is not None:
        timer.cancel()
    return None
