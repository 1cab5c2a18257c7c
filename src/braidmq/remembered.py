"""The state file: the brokers that a node knows, for its next run."""

import asyncio
from pathlib import Path
from typing import Final

from braidmq.core.node.node import NodeCore
from braidmq.host.loggers import own_logger
from braidmq.trust import statefile

STATE_S: Final = 0.5
"""How often a node with a state file looks whether the brokers that it knows have changed."""

_LOG = own_logger("braidmq.node")


class Remembered:
    """The brokers that one node has written down. Nothing is lost with the file, so that no error of it ends a node.

    Raises:
        ConfigError: the file would take the place of something else, or has none.
    """

    def __init__(self, path: Path) -> None:
        statefile.check_place(path)
        self._path = path
        self._saved: tuple[bytes, ...] = ()
        self._complained = False
        self._timer: asyncio.TimerHandle | None = None

    def recall(self) -> tuple[bytes, ...]:
        """Return the certificates of the brokers that an earlier run has known.

        Raises:
            ConfigError: as when this was made, if that has become so since.
        """
        statefile.check_place(self._path)
        try:
            self._saved = statefile.load(self._path)
        except (OSError, ValueError) as error:  # a ConfigError is a ValueError
            _LOG.warning("state file ignored: %s", error)
        return self._saved

    def keep(self, core: NodeCore) -> None:
        """Write down the brokers that are known whenever that changes, until `stop`. Call it in the event loop."""
        self._timer = asyncio.get_running_loop().call_later(STATE_S, self._on_time, core)

    def stop(self) -> None:
        """Write down nothing more; also where the event loop has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_time(self, core: NodeCore) -> None:
        self.save(core)  # some KiB, and seldom: a thread would need a copy of the list
        self.keep(core)

    def save(self, core: NodeCore) -> None:
        """Write down the brokers that are known, if they have changed."""
        known = core.known
        if set(known) == set(self._saved):
            return
        try:
            statefile.save(self._path, known)
            self._saved = known
        except (OSError, ValueError) as error:
            if not self._complained:
                self._complained = True
                _LOG.warning("the brokers that are known cannot be remembered: %s", error)
