"""Directories for Unix sockets, whose paths are short."""

import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from braidmq.carrier import nearby


@contextmanager
def sockets_in_a_directory_of_their_own():
    """Let brokers and nodes of this process, and those that it starts, have their sockets in a new directory.

    Yields the directory above it, which is that of the session; where there is none of it, they would be in "common".
    """
    with (
        tempfile.TemporaryDirectory(prefix="braidmq-", dir=nearby.COMMON) as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        runtime, common = Path(name, "session"), Path(name, "common")
        runtime.mkdir()
        common.mkdir()
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        patch.setattr(nearby, "COMMON", common)
        yield runtime
