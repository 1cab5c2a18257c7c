"""What an execution has gone through, told to libFuzzer at its end.

Code that atheris has instrumented calls `atheris._trace_branch` at each branch, and `atheris._trace_cmp` instead of
each comparison. As they are, these calls take longer than most of what is fuzzed. Here branches are put into a list,
and counted at the end of the execution: libFuzzer sees the same counters, but that they stay at 255 and do not begin
anew. Comparisons tell it what constants to try; it remembers them over executions, so one execution of `COMPARED` is
enough for that.
"""

import ctypes
import operator
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

import atheris

COMPARED: Final = 8
"""Of so many executions one tells what it has compared."""

_COUNT_MAX: Final = 255
_OPERATORS: Final[tuple[Callable[[Any, Any], Any], ...]] = (
    *(operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge),
)


def _compare(left: Any, right: Any, which: int, _place: int, _constant: bool) -> Any:
    return _OPERATORS[which](left, right)


def _counters() -> "ctypes.Array[ctypes.c_ubyte]":
    """Return atheris's counters of branches, which libFuzzer reads. They are there once it runs."""
    found = find_spec("atheris.core_with_libfuzzer")
    assert found is not None
    core = ctypes.CDLL(found.origin)
    count = ctypes.c_int.in_dll(core, "_ZN7atheris12max_countersE").value
    begin = ctypes.c_void_p.in_dll(core, "_ZN7atheris8countersE").value
    assert begin is not None
    return (ctypes.c_ubyte * count).from_address(begin)


class Trace:
    """Stands between instrumented code and atheris; to be made within the first execution."""

    def __init__(self) -> None:
        self._branches: list[int] = []
        self._counters = memoryview(_counters()).cast("B")
        self._compare = atheris._trace_cmp  # noqa: SLF001 - what instrumented code calls
        self._executions = 0
        atheris._trace_branch = self._branches.append  # noqa: SLF001

    def begin(self) -> None:
        """Begin with an execution."""
        self._executions += 1
        compare = _compare if self._executions % COMPARED else self._compare
        atheris._trace_cmp = compare  # noqa: SLF001
        self._branches.clear()

    def end(self) -> None:
        """Tell libFuzzer what was gone through."""
        counters = self._counters
        for branch, count in Counter(self._branches).items():
            counters[branch] = count if count < _COUNT_MAX else _COUNT_MAX  # min takes longer
