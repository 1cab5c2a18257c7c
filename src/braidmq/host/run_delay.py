"""How long this thread has waited for a processor, as Linux tells it."""

import os
from typing import Final

_PATH: Final = "/proc/thread-self/schedstat"
_READ_BYTES_MAX: Final = 128
_PER_NS: Final = 1e-9


def run_delay_s() -> float:
    """Return for how many seconds this thread could have run since it began, and others ran; 0.0 if nobody tells."""
    try:
        descriptor = os.open(_PATH, os.O_RDONLY | os.O_CLOEXEC)
        try:
            told = os.read(descriptor, _READ_BYTES_MAX).split()
        finally:
            os.close(descriptor)
        return int(told[1]) * _PER_NS
    except (OSError, ValueError, IndexError):  # another system, or one that does not count it, or no descriptor
        return 0.0
