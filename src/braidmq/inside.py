"""Whether code runs inside a handler of a node: in the handler itself, or in a task or context that it has made.

Such code is part of a request that the node has taken: the node must not wait for it and let it wait at the same time.
"""

from contextvars import ContextVar
from itertools import count
from types import TracebackType
from typing import Final
from weakref import ref

_NUMBERS: Final = count(1)


class Run:
    """One run of a handler of `node`: use it as a context manager, in a task of its own.

    Tasks and copied contexts inherit it. It does not keep the node alive: a context may outlive all else.

    Attributes:
        number: tells it from other runs; above 0.
    """

    __slots__ = ("_node", "_over", "number")

    def __init__(self, node: object) -> None:
        self.number = next(_NUMBERS)
        self._node = ref(node)
        self._over = False

    def of(self, node: object) -> bool:
        """Whether it is a run of a handler of `node`, and goes on."""
        return not self._over and self._node() is node

    def __enter__(self) -> None:
        _RUN.set(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over = True


_RUN: ContextVar[Run | None] = ContextVar("braidmq-run", default=None)


def run_of(node: object) -> int:
    """Return the number of the run of a handler of `node` that the caller is inside, and that has not ended, or 0."""
    run = _RUN.get()
    return run.number if run is not None and run.of(node) else 0


def inside(node: object) -> bool:
    """Whether the caller runs inside a handler of `node` that has not ended."""
    return run_of(node) > 0
