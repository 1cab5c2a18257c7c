"""What is done again and again while something else goes on."""

import threading
from collections.abc import Callable
from typing import Self


class Repeated:
    """Does something each period, in a thread of its own. Use it as a context manager.

    Args:
        work: is called.
        period_s: how long it is waited before each call.
    """

    def __init__(self, work: Callable[[], None], period_s: float) -> None:
        self._work = work
        self._period_s = period_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="repeated")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._period_s):
            self._work()
