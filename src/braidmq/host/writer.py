"""Writes to a descriptor without ever holding up who has something to say.

A pipe whose reader stands still takes 64 KiB; whoever writes on to it stands still as well, and does not even heed a
signal. So a thread of its own does the writing. What it cannot write in time is dropped, and counted.
"""

import errno
import os
import select
import threading
from collections.abc import Callable, Container
from typing import Final

from braidmq.host.clock import monotonic

BYTES_MAX: Final = 1024 * 1024
"""What waits to be written: some thousand lines, a burst of them while a disk or a terminal is slow."""

FLUSH_S_MAX: Final = 1.0
"""How long a process that ends waits for its last lines to be taken: longer than any reader needs that reads at all."""

PASSING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOBUFS, errno.ENOMEM})
"""Errors that may pass: what comes later may be written again."""


class Writer:
    """A queue of pieces of text, and the thread that writes them. All methods may be called from any thread.

    Args:
        descriptor: where to write; it is not closed.
        lost: says that so many pieces were dropped, in a piece that is written in their place; b"" says nothing.
        bytes_max: what may wait; a piece that does not fit any more is dropped, unless nothing waits.
        write: writes to the descriptor, as `os.write` does.
        passing: the numbers of errors that may pass.
    """

    def __init__(
        self,
        descriptor: int,
        lost: Callable[[int], bytes] = lambda _count: b"",
        *,
        bytes_max: int = BYTES_MAX,
        write: Callable[[int, memoryview], int] = os.write,
        passing: Container[int] = PASSING,
    ) -> None:
        self._write_some = write
        self._passing = passing
        self._descriptor = descriptor
        self._lost = lost
        self._bytes_max = bytes_max
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._dropped = 0
        self._writing = False
        self._stuck = False
        self._failing = False
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None

    @property
    def error(self) -> OSError | None:
        """Why nothing can be written any more: the reader has gone, or the descriptor is closed; None while it can."""
        return self._error

    def write(self, piece: bytes) -> None:
        """Let `piece` be written, as a whole or not at all unless the reader goes in the middle of it."""
        with self._changed:
            if self._error is not None:
                return
            if self._pieces and self._bytes + len(piece) > self._bytes_max:
                self._dropped += 1
                return
            if self._thread is None and not self._start():
                self._write_next([piece])  # without a thread, better late than never
                return
            self._pieces.append(piece)
            self._bytes += len(piece)
            self._changed.notify_all()

    def flush(self, timeout_s: float = FLUSH_S_MAX) -> bool:
        """Wait until all of it is written; return whether it is. One that was stuck is not waited for again."""
        give_up_at = monotonic() + (0.0 if self._stuck else timeout_s)
        with self._changed:
            while self._error is None and (self._pieces or self._writing or (self._dropped and not self._failing)):
                left_s = give_up_at - monotonic()
                if left_s <= 0.0:
                    self._stuck = True
                    return False
                self._changed.wait(left_s)
            return self._error is None

    def after_fork(self) -> None:
        """Begin anew in a child process, which has neither the thread nor anything to say."""
        self._reset()

    def _start(self) -> bool:
        thread = threading.Thread(target=self._run, name="braidmq-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system gives no thread, or the interpreter is about to end
            return False
        self._thread = thread
        return True

    def _run(self) -> None:
        while self._error is None:
            self._write_next(self._next())

    def _next(self) -> list[bytes]:
        """Wait for something to write, and return all of it."""
        with self._changed:
            self._writing = False
            self._changed.notify_all()
            while not self._pieces and (self._failing or not self._dropped):
                self._changed.wait()
            pieces, self._pieces = self._pieces, []
            if self._dropped:
                pieces.append(self._lost(self._dropped))
            self._bytes = self._dropped = 0
            self._writing = True
        return pieces

    def _write_next(self, pieces: list[bytes]) -> None:
        """Write each piece by itself: so it is not torn by those of other processes that write there."""
        for done, piece in enumerate(pieces):
            try:
                self._write_piece(piece)
            except OSError as error:
                with self._changed:
                    if error.errno in self._passing:
                        self._failing = True
                        self._dropped += len(pieces) - done
                    else:
                        self._error = error
                        self._pieces.clear()
                    self._changed.notify_all()
                return
            self._stuck = self._failing = False

    def _write_piece(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[self._write_some(self._descriptor, rest) :]
            except BlockingIOError:  # somebody who shares it has made it so
                select.select([], [self._descriptor], [])
