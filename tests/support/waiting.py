"""Waiting, for tests without an event loop, for a condition that stands where it is waited for."""

from collections.abc import Callable

from braidmq.lab.processes.waiting import wait_until


def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` is true; fail with the place where it stands if that takes too long."""
    code = condition.__code__
    wait_until(condition, f"the condition at {code.co_filename}:{code.co_firstlineno}")
