"""Whether code runs inside a handler of a node: in the handler itself, or in a task or context that it has made.

Such code is part of a request that the node has taken: the node must not wait for it and let it wait at the same time.
"""

from contextvars import ContextVar
from itertools import count
from typing import Final
from weakref import ref

_NUMBERS: Final = count(1)


class Run:
    """One run of a handler of `node`. It does not keep the node alive: a context may outlive all else.

    Attributes:
        number: tells it from other runs; above 0.
        begun: its handler has begun, or is about to in a thread.
        stopped: it was asked to stop.
        stoppable: its handler is awaited on the event loop, where it can be cancelled.
        over: the handler has ended.

    Args:
        node: a weak reference to the node.
    """

    __slots__ = ("_node", "begun", "number", "over", "stoppable", "stopped")

    def __init__(self, node: "ref[object]") -> None:
        self._node = node
        self.number = next(_NUMBERS)
        self.begun = False
        self.stopped = False
        self.stoppable = False
        self.over = False

    def enter(self) -> None:
        """Let the context of the caller be inside, and what inherits it: tasks and copied contexts."""
        _RUN.set(self)

    def of(self, node: object) -> bool:
        """Whether it is a run of a handler of `node`, and goes on."""
        return not self.over and self._node() is node


_RUN: ContextVar[Run | None] = ContextVar("braidmq-run", default=None)


def run_of(node: object) -> int:
    """Return the number of the run of a handler of `node` that the caller is inside, and that has not ended, or 0."""
    run = _RUN.get()
    return run.number if run is not None and run.of(node) else 0


def inside(node: object) -> bool:
    """Whether the caller runs inside a handler of `node` that has not ended."""
    return run_of(node) > 0
