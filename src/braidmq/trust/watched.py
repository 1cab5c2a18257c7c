"""A join file that may be replaced while its member runs: by a change of the registry, or with a new key."""

import stat
from pathlib import Path

from braidmq.trust import joinfile
from braidmq.trust.joinfile import JoinFile


class WatchedJoinFile:
    """Tells when a join file is another one than before.

    Attributes:
        path: of the file; None if it has come from elsewhere, and cannot change.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._stamp = self._read_stamp()

    def has_changed(self) -> bool:
        """Whether the file is another one than the last time; False where there is none, or a pipe."""
        stamp = self._read_stamp()
        if stamp == self._stamp or not stamp:
            return False
        self._stamp = stamp
        return True

    def load(self) -> JoinFile:
        """Return what is in it now. Raises ConfigError."""
        assert self.path is not None, "what cannot change is not read again"
        return joinfile.load(self.path)

    def _read_stamp(self) -> tuple[int, ...]:
        if self.path is None:
            return ()
        try:
            found = self.path.stat()
        except OSError:
            return ()
        if not stat.S_ISREG(found.st_mode):
            return ()  # a pipe: it says all that it has to say once
        return found.st_mtime_ns, found.st_size, found.st_ino
