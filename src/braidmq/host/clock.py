"""The clocks: the system's monotonic one, which nodes and brokers go by, and the one that knows the date."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

monotonic: Final[Callable[[], float]] = partial(time.monotonic)
"""Returns a time in seconds that never goes back. Tools that freeze time in tests put a function of their own in the
place of `time.monotonic` in every module, and a frozen heartbeat would end every connection. This they leave alone."""

unix_time: Final[Callable[[], float]] = partial(time.time)
"""Returns the seconds since 1970 (UTC) by the system's clock, which may be wrong, and may be set."""

TIMER_SLACK_S: Final = 0.002
"""How much later than due a timer of asyncio is set: uvloop counts in whole milliseconds, and may call more than one
too early, when nothing is due yet."""
