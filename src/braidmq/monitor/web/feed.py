"""Server-sent events: the newest look and what has happened, to as many readers as there is room for.

No reader has a queue. Each knows which look and which entry of the journal it has got last, and is given what is newest
when it can take more: one that is slow misses looks, and gets every entry that the journal still has.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from braidmq.monitor.board import Board
from braidmq.monitor.web.problems import RefusedError

STREAMS_MAX: Final = 32
"""Readers at once: people with a page each. What one has not taken yet weighs one look at most."""

HEARTBEAT_S: Final = 10.0
"""How long nothing comes until a comment says that the stream is alive: proxies give up after 60 s, or 30."""

RETRY_MS: Final = 2_000
"""How soon a browser comes back."""

ENTRIES_AT_ONCE: Final = 100
"""Entries of the journal that a reader gets in a row."""


class Feed:
    """Gives readers what a board has. All methods belong to one event loop."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._readers: set[Reader] = set()
        self.closing = False

    @property
    def readers(self) -> int:
        """How many there are."""
        return len(self._readers)

    def tell(self) -> None:
        """Wake all readers: there is something new."""
        for reader in self._readers:
            reader.wake.set()

    def close(self) -> None:
        """Let all streams end."""
        self.closing = True
        self.tell()

    def open(self, last_id: str | None) -> "Reader":
        """Return a new reader.

        Args:
            last_id: the entry that it has got last, in its own words; without one it gets those to come.

        Raises:
            RefusedError: there are too many.
        """
        if self.closing or len(self._readers) >= STREAMS_MAX:
            detail = f"There is room for {STREAMS_MAX} streams: close a page, or try again."
            raise RefusedError(503, "Too many streams", detail, {"retry-after": "5"})
        newest = self._board.journal.last_id
        known = int(last_id) if last_id and last_id.isascii() and last_id.isdigit() and len(last_id) < 20 else newest
        reader = Reader(self, self._board, min(known, newest))
        self._readers.add(reader)
        return reader

    def remove(self, reader: "Reader") -> None:
        """Take back the place of a reader."""
        self._readers.discard(reader)


class Reader:
    """One stream, as an application of ASGI."""

    def __init__(self, feed: Feed, board: Board, last_id: int) -> None:
        self.wake = asyncio.Event()
        self._feed = feed
        self._board = board
        self._last_id = last_id
        self._looks = 0
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the reader goes or the feed closes."""
        watching = asyncio.ensure_future(self._watch(receive))
        try:
            fields = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            await send({"type": "http.response.body", "body": b"retry: %d\n\n" % RETRY_MS, "more_body": True})
            async for chunk in self._chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if self._gone:
                await watching
            else:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watching.cancel()
            self._feed.remove(self)

    async def _watch(self, receive: Receive) -> None:
        """Wait until the reader goes, or sends what is refused."""
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._gone = True
            self.wake.set()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while not self._gone and not self._feed.closing:
            self.wake.clear()
            chunk = self._next()
            if chunk:
                yield chunk
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self.wake.wait()
            except TimeoutError:
                yield b": still here\n\n"

    def _next(self) -> bytes:
        """Return what the reader has not got yet; nothing if it has all."""
        events = []
        for entry in self._board.journal.after(self._last_id, ENTRIES_AT_ONCE):
            self._last_id = entry.id
            events.append(b"event: log\nid: %d\ndata: %b\n\n" % (entry.id, msgspec.json.encode(entry)))
        if self._board.looks > self._looks:
            self._looks = self._board.looks
            events.append(b"event: net\nid: %d\ndata: %b\n\n" % (self._last_id, self._board.net()))
        return b"".join(events)
