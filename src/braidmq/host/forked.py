"""What a forked child has to leave alone: it has copies of its parent's nodes, but not the threads that serve them."""

import os
from typing import Final, Protocol
from weakref import WeakSet

FORKED: Final = "the node belongs to the process that this one was forked from: make a node of its own here"
"""What a child is told that uses a node of its parent."""


class Forkable(Protocol):
    """What a process has that its children cannot use."""

    def on_forked(self) -> None:
        """Note that this is a forked child from now on."""


_TOLD: Final[WeakSet[Forkable]] = WeakSet()


def tell_child(each: Forkable) -> None:
    """Call `on_forked` in every process that is forked from this one from now on, while the object lives."""
    _TOLD.add(each)


def _tell_all() -> None:
    for each in tuple(_TOLD):
        each.on_forked()


os.register_at_fork(after_in_child=_tell_all)
