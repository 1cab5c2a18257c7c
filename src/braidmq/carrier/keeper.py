"""Writes down what a broker is to remember, in a thread: a disk may take long, and the broker's thread has others."""

import threading
from pathlib import Path
from typing import Final

from braidmq.host.loggers import own_logger
from braidmq.trust import brokerstate
from braidmq.trust.brokerstate import State

CLOSE_S_MAX: Final = 2.0
"""How long a broker that ends waits for the last registry to be written: longer than a disk takes that works."""

_LOG = own_logger("braidmq.broker")


class Keeper:
    """The newest registry goes into the file; older ones that wait are skipped.

    Args:
        path: of the state file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wake = threading.Condition()
        self._next: State | None = None
        self._ends = False
        self._complained = False
        self._thread: threading.Thread | None = None

    def keep(self, state: State) -> None:
        """Let it be written."""
        with self._wake:
            self._next = state
            self._wake.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="braidmq-state", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End, once what waits is written, or is taking too long."""
        with self._wake:
            self._ends = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_S_MAX)

    def _run(self) -> None:
        while True:
            with self._wake:
                while self._next is None and not self._ends:
                    self._wake.wait()
                state, self._next = self._next, None
            if state is None:
                return
            try:
                brokerstate.save(self._path, state)
                self._complained = False
            except OSError as error:
                if not self._complained:
                    self._complained = True
                    _LOG.warning(
                        "the newest registry is not remembered: %s; should all brokers be restarted, an older one may "
                        "come into force",
                        error,
                    )
