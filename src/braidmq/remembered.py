"""The state file: what a node knows of its net, for its next run."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from braidmq.carrier.node_loop import NodeLoop
from braidmq.carrier.papers import NodePapers
from braidmq.errors import ProtocolError
from braidmq.host.loggers import own_logger
from braidmq.trust import statefile
from braidmq.trust.statefile import State
from braidmq.wire.registry import CertificateIs

STATE_S: Final = 0.5
"""How often a node with a state file looks whether what it knows has changed."""

_LOG = own_logger("braidmq.node")


class Remembered:
    """What one node has written down. Nothing is lost with the file, so that no error of it ends a node.

    Raises:
        ConfigError: the file would take the place of something else, or has none.
    """

    def __init__(self, path: Path) -> None:
        statefile.check_place(path)
        self._path = path
        self._saved = State()
        self._complained = False
        self._timer: asyncio.TimerHandle | None = None

    def recall(self, papers: NodePapers) -> tuple[bytes, ...]:
        """Give back the papers of an earlier run; return the certificates of the brokers that it has known.

        Raises:
            ConfigError: as when this was made, if that has become so since.
        """
        statefile.check_place(self._path)
        try:
            self._saved = statefile.load(self._path)
        except (OSError, ValueError) as error:  # a ConfigError is a ValueError
            _LOG.warning("state file ignored: %s", error)
        _recall("the list of brokers", papers.take_roster, self._saved.roster)
        _recall("the certificate", lambda blob: papers.take_certificate(CertificateIs(blob)), self._saved.certificate)
        return self._saved.brokers

    def keep(self, loop: NodeLoop) -> None:
        """Write down what is known whenever that changes, until `stop`. Call it in the event loop."""
        self._timer = asyncio.get_running_loop().call_later(STATE_S, self._on_time, loop)

    def stop(self) -> None:
        """Write down nothing more; also where the event loop has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_time(self, loop: NodeLoop) -> None:
        self.save(loop)  # some KiB, and seldom: a thread would need a copy of the list
        self.keep(loop)

    def save(self, loop: NodeLoop) -> None:
        """Write down what is known, if it has changed."""
        papers, known = loop.papers, loop.core.known
        roster = b"" if papers.listed is None else papers.listed.blob
        same = (roster, papers.certificate.blob) == (self._saved.roster, self._saved.certificate)
        if same and set(known) == set(self._saved.brokers):
            return
        state = State(known, roster, papers.certificate.blob)
        try:
            statefile.save(self._path, state)
            self._saved = state
        except (OSError, ValueError) as error:
            if not self._complained:
                self._complained = True
                _LOG.warning("what is known of the net cannot be remembered: %s", error)


def _recall(what: str, take: Callable[[bytes], object], blob: bytes) -> None:
    """Take what an earlier run has had, unless it was of another net, or another key."""
    if not blob:
        return
    try:
        take(blob)
    except ProtocolError as error:
        _LOG.warning("%s in the state file is ignored: %s", what, error)
