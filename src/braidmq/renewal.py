"""A node that goes on while its join file is replaced: with a new key, or a newer certificate."""

import asyncio
from pathlib import Path
from typing import Final

from braidmq.carrier.node_loop import NodeLoop
from braidmq.errors import ConfigError
from braidmq.host.loggers import own_logger
from braidmq.trust.watched import WatchedJoinFile

LOOK_S: Final = 1.0
"""How often a node looks at its join file: a key that is changed holds for far longer beside the new one."""

_LOG = own_logger("braidmq.node")


class Renewal:
    """Takes over what is new in a join file, from `begin` until `stop`.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._watched = WatchedJoinFile(path)
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, loop: NodeLoop) -> None:
        """Begin to look. Call it in the event loop."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._on_time, loop)

    def stop(self) -> None:
        """Look no more; also where the event loop has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_time(self, loop: NodeLoop) -> None:
        if self._watched.has_changed():
            try:
                loop.change_identity(self._watched.load())
            except ConfigError as error:
                _LOG.warning("what is in the join file now is not used: %s", error)
        self.begin(loop)
