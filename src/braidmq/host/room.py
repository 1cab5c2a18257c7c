"""What the machine must have left before libzmq is asked for something: where it finds nothing, it ends the process."""

import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from braidmq.errors import BraidError

SPARE_DESCRIPTORS: Final = 4
"""Descriptors beyond those that are asked for: other threads of the process open files in the same moment."""

_LOCK = threading.Lock()
"""Held from the look until libzmq has what was looked for, so that two nodes of a process do not count on the same."""

os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


class NoRoom(BraidError):  # noqa: N818 - named like the other errors of BraidMQ
    """A limit of the machine is reached; the message names it and says how to raise it."""


@contextmanager
def room(what: str, *, descriptors: int, threads: int = 0) -> Iterator[None]:
    """Make sure that this process may have so many more descriptors and threads, and keep others from them meanwhile.

    Args:
        what: whatever needs them, for the message.
        descriptors: how many it needs.
        threads: how many it starts.

    Raises:
        NoRoom: it may not.
    """
    with _LOCK:
        _try_descriptors(what, descriptors + SPARE_DESCRIPTORS)
        if threads:
            _try_threads(what, threads)
        yield


def take_all_descriptors() -> int:
    """Raise this process's limit of descriptors as far as it may, and return it: for servers with many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # a system that calls it unlimited, and means another number
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return soft


def _try_descriptors(what: str, count: int) -> None:
    held: list[int] = []
    try:
        while len(held) < count:
            held += os.pipe()
    except OSError as error:
        if error.errno == errno.EMFILE:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            why = f"this process may open {limit} files, which are in use: raise the limit (`ulimit -n`, LimitNOFILE=)"
        else:
            why = f"{os.strerror(error.errno or 0)}: close files of other programs, or raise the machine's limit"
        raise NoRoom(f"{what} needs {count} file descriptors more; {why}") from None
    finally:
        for descriptor in held:
            os.close(descriptor)


def _try_threads(what: str, count: int) -> None:
    done = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=done.wait, name="braidmq-room", daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError):
        raise NoRoom(
            f"{what} needs {count} threads more, and the system gives none: "
            "raise the limit of processes and threads (`ulimit -u`, TasksMax=, pids.max), or the memory"
        ) from None
    finally:
        done.set()
        for thread in started:
            thread.join()
