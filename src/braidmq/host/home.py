"""The event loop that a node belongs to: its methods do nothing anywhere else."""

import asyncio
import threading
from weakref import ref

from braidmq.errors import WrongLoop

_ADVICE = "braidmq.blocking.Node may be called from any thread"


class Home:
    """The running event loop. It does not keep the loop alive.

    Args:
        name: of the node, for the message.

    Raises:
        WrongLoop: no event loop of asyncio runs in this thread.
    """

    def __init__(self, name: str) -> None:
        try:
            self._loop = ref(asyncio.get_running_loop())
        except RuntimeError:
            raise WrongLoop(f"{name} needs a running event loop of asyncio; {_ADVICE}") from None
        self._thread = threading.current_thread().name

    @property
    def ended(self) -> bool:
        """Whether the loop was closed, so that nothing can run in it any more."""
        loop = self._loop()
        return loop is None or loop.is_closed()

    @property
    def busy(self) -> bool:
        """Whether the loop runs, in this thread or another one."""
        loop = self._loop()
        return loop is not None and loop.is_running()

    def check(self, name: str) -> None:
        """Make sure that the caller runs in this loop.

        Args:
            name: of the node, for the message.

        Raises:
            WrongLoop: it does not.
        """
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is not None and here is self._loop():
            return
        if self.ended:
            raise WrongLoop(
                f"the event loop in which {name} was started has ended: make a node in each loop; {_ADVICE}"
            )
        raise WrongLoop(f"{name} was started in another event loop, in thread {self._thread!r}; {_ADVICE}")


def check_main_thread(instead: str) -> None:
    """Make sure that signals come to the caller, and that no event loop waits for it meanwhile.

    Args:
        instead: what to do where that is not so, for the message.

    Raises:
        WrongLoop: this is not the main thread, or an event loop runs in it.
    """
    if threading.current_thread() is not threading.main_thread():
        raise WrongLoop(f"run() waits for signals, which come to the main thread only: {instead}")
    check_no_loop(f"run() would keep the event loop of its thread from running: {instead}")


def check_no_loop(why: str) -> None:
    """Make sure that no event loop of asyncio would stand still while the caller waits.

    Args:
        why: what is wrong where one would, and what to do.

    Raises:
        WrongLoop: an event loop runs in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WrongLoop(why)
