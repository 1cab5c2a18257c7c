"""Bounds that settings, arguments and cores share, so that none of them lets in what another one cannot bear."""

from typing import Final

DAY_S: Final = 86_400
"""Longest time of anything: of a call, and of a wait. An event loop cannot count to infinity."""

ATTEMPTS_MAX: Final = 20
"""Most attempts of a call, and so the most copies of one request that a worker answers."""

PAYLOAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Largest payload that a setting allows."""

HEARTBEAT_S_MIN: Final = 0.1
"""Shortest heartbeat: no broker shall make its nodes talk all the time."""

HEARTBEAT_S_MAX: Final = 60
"""Longest one: a longer one would hide a death."""

SERVICES_MAX: Final = 30_000
"""Most services of one broker that a setting allows: the list of all of them fits one control message."""

COMMAND_BROKERS_MAX: Final = 100
"""Brokers that a command asks or tells by itself: well below the 1,024 files that a process may usually open, of which
a connection takes several. A net has a handful; of further ones the others tell."""
