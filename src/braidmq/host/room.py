"""Limits of the machine, told so that one knows what to do: files that a process may open, and its threads."""

import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from braidmq.errors import BraidError

_FULL: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class NoRoom(BraidError):  # noqa: N818 - named like the other errors of BraidMQ
    """A limit of the machine is reached; the message names it and says how to raise it."""


@contextmanager
def room(what: str, look_for: int = 0) -> Iterator[None]:
    """Tell of the system's having no descriptor left as NoRoom.

    Args:
        what: whatever needs it, for the message.
        look_for: how many there must be before it is begun, if it would leave something behind when it fails.

    Raises:
        NoRoom: what is done within needs more descriptors than there are.
    """
    try:
        _look(look_for)
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoRoom(f"{what} needs more file descriptors; {_why(error)}") from None


def start(thread: threading.Thread, what: str) -> None:
    """Start a thread.

    Args:
        thread: the thread.
        what: whatever needs it, for the message.

    Raises:
        NoRoom: the system gives this process no further thread.
    """
    try:
        thread.start()
    except (RuntimeError, MemoryError):
        raise NoRoom(
            f"{what} needs another thread, and the system gives none: "
            "raise the limit of processes and threads (`ulimit -u`, TasksMax=, pids.max), or the memory"
        ) from None


def take_all_descriptors() -> int:
    """Raise this process's limit of descriptors as far as it may, and return it: for servers with many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # a system that calls it unlimited, and means another number
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return soft


def _look(count: int) -> None:
    held: list[int] = []
    try:
        while len(held) < count:
            held.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for descriptor in held:
            os.close(descriptor)


def _why(error: OSError) -> str:
    if error.errno == errno.EMFILE:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"this process may open {limit} files, which are in use: raise the limit (`ulimit -n`, LimitNOFILE=)"
    return f"{os.strerror(error.errno or 0)}: close files of other programs, or raise the machine's limit"
