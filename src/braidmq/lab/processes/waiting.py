"""Waiting for conditions of other processes."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import Final, TypeVar

T = TypeVar("T")

WAIT_S_MAX: Final = 30.0
"""How long a condition may take to come true: far more than any of them takes."""

POLL_S: Final = 0.01


def wait_until(condition: Callable[[], T], what: str, timeout: float = WAIT_S_MAX, poll_s: float = POLL_S) -> T:
    """Wait until `condition()` is true, and return its value; fail with `what` after `timeout` seconds."""
    give_up_at = monotonic() + timeout
    while not (value := condition()):
        assert monotonic() < give_up_at, f"not within {timeout:g} s: {what}"
        sleep(poll_s)
    return value
