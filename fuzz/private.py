"""A file that nobody else can read, and of which nothing is left, however its process ends."""

import os
import tempfile
from pathlib import Path


class PrivateFile:
    """The file.

    Attributes:
        path: where this process finds it.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it is open as long as the process lives
        self.path = Path(f"/dev/fd/{self._file.fileno()}")

    def put(self, data: bytes) -> None:
        """Let the file hold `data`, and nothing else."""
        os.ftruncate(self._file.fileno(), 0)
        os.pwrite(self._file.fileno(), data, 0)
