"""The service that the demo calls, as its clients and its workers know it."""

from hashlib import blake2b
from typing import Final

from braidmq.lab.demo.plan import IN_FLIGHT_MAX
from braidmq.settings import Settings

SERVICE: Final = "demo.stamp"

STAMP_BYTES: Final = 16

SETTINGS: Final = Settings(in_flight_max=IN_FLIGHT_MAX, reconnect_s_max=1.0)
"""The defaults, but nodes look for a lost broker at least once a second, for it is back within two."""


def stamped(payload: bytes) -> bytes:
    """Return the right answer to `payload`: itself and its digest, so that an echo on the way is no answer."""
    return payload + blake2b(payload, digest_size=STAMP_BYTES).digest()
