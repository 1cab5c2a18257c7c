"""What a node has is given back also when nobody closes it: when it is collected, or at the end of the program.

libzmq waits without end for sockets that nobody closes any more, so that a program with a forgotten node would hang.
"""

import atexit
import warnings
from collections.abc import Callable
from typing import Final
from weakref import finalize

_GUARDS: Final[set["Guard"]] = set()


class Guard:
    """Gives back what `owner` has if the owner is forgotten, and warns of it.

    Args:
        owner: a node that is running.
        what: names it in the ResourceWarning.
        give_back: called from any thread, once; returns whether there was anything. It must not keep the owner alive.
    """

    def __init__(self, owner: object, what: str, give_back: Callable[[], bool]) -> None:
        self._what = what
        self._give_back = give_back
        self._finalizer = finalize(owner, self._forget)
        self._finalizer.atexit = False  # functions that the program has registered run first, and may close the node
        _GUARDS.add(self)

    def dismiss(self) -> None:
        """Do nothing from now on: the owner was closed, or belongs to another process."""
        _GUARDS.discard(self)
        self._finalizer.detach()

    def forget(self) -> None:
        """Do now what is done when the owner is collected, unless it is done."""
        if self._finalizer.detach() is not None:  # to call it would do nothing at the end of the program
            self._forget()

    def _forget(self) -> None:
        _GUARDS.discard(self)
        if self._give_back():
            warnings.warn(f"{self._what} was not closed: use 'with', or call close()", ResourceWarning, stacklevel=2)


def _at_exit() -> None:
    for guard in tuple(_GUARDS):
        guard.forget()


atexit.register(_at_exit)
