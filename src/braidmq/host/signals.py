"""The signals that end a process in good order, and what becomes of a second one."""

import os
import signal
from typing import Final, NoReturn

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
"""Their first one drains; a second one ends the process at once."""


def end_by_signal(number: int) -> NoReturn:
    """End this process at once, as the signal `number` does where nobody handles it. For the main thread.

    Its parent sees that the signal has ended it. The kernel keeps such a signal from process 1 of a container; that
    ends with the exit status that a shell gives to the same: 128 + `number`.
    """
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)


def heed_signals_as_process_1() -> None:
    """Let SIGTERM end process 1 of a container, too, before it has a handler of its own. For the main thread."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, _frame: end_by_signal(number))
