"""What a node has is given back also when nobody closes it: when it is collected, or at the end of the program.

Else its brokers would not see it go before they miss its heartbeats, and a program with a forgotten node would keep its
sockets and threads.
"""

import atexit
import sys
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

    def give_back(self) -> bool:
        """Do now what is done when the owner is collected, but for the warning; return whether there was anything."""
        # To call the finalizer would do nothing at the end of the program.
        return self._finalizer.detach() is not None and self._end()

    def warn(self) -> None:
        """Warn of what was given back."""
        warnings.warn(f"{self._what} was not closed: use 'with', or call close()", ResourceWarning, stacklevel=2)

    def _forget(self) -> None:
        if self._end():
            self.warn()

    def _end(self) -> bool:
        _GUARDS.discard(self)
        return self._give_back()


def _at_exit() -> None:
    """Give everything back, and warn of it then: each of it happens, though a warning may be an error."""
    for guard in [guard for guard in tuple(_GUARDS) if _done(guard.give_back)]:
        _done(guard.warn)


def _done(step: Callable[[], bool | None]) -> bool | None:
    """Return what a step returns; show its error, as those of finalizers are shown, for others are to follow."""
    try:
        return step()
    except Exception:  # noqa: BLE001 - nobody else can take it in at the end of the program
        sys.excepthook(*sys.exc_info())
    return None


atexit.register(_at_exit)
