"""What the carrier's tests share."""

import pytest

from braidmq.carrier.rooms import ROOM_BYTES_MAX
from braidmq.settings import KIB, Settings
from tests.support.listeners import listening
from tests.support.streams import streams


@pytest.fixture
def rig():
    """Yield a listener with real sockets and small limits; see tests/support/listeners.py."""
    room = {"outbox_bytes_max": 1024 * KIB, "in_flight_bytes_max": 1024 * KIB}
    settings = Settings.test(**room, transport_timeout_s=60.0, handshake_s_max=60.0)  # a busy machine ends nothing
    with listening(settings) as made:
        yield made


@pytest.fixture
def wide():
    """Both ends of a connection with room in the system for all that these tests send."""
    made = streams(buffer_bytes=4 * ROOM_BYTES_MAX)
    yield made
    for each in made:
        each.close()
