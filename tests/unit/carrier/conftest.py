"""What the carrier's tests share."""

import pytest

from braidmq.settings import KIB, Settings
from tests.support.listeners import listening


@pytest.fixture
def rig():
    """Yield a listener with real sockets and small limits; see tests/support/listeners.py."""
    settings = Settings.test(outbox_bytes_max=1024 * KIB, in_flight_bytes_max=1024 * KIB, transport_timeout_s=60.0)
    with listening(settings) as made:
        yield made
