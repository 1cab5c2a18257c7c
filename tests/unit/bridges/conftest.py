"""What tests of bridges share: async tests, and foreign peers of real libzmq."""

import pytest
import zmq

from tests.support.async_tests import pytest_pyfunc_call

__all__ = ["pytest_pyfunc_call"]


@pytest.fixture
def dealer():
    """Makes foreign peers, which are closed after the test."""
    made = []
    with zmq.Context() as context:

        def make(listener, *, place=0, name=None, user=None, password=None):
            peer = context.socket(zmq.DEALER)
            made.append(peer)
            peer.setsockopt(zmq.LINGER, 0)
            if name is not None:
                peer.setsockopt(zmq.IDENTITY, name)
            if user is not None:
                peer.plain_username, peer.plain_password = user, password
            peer.connect(listener.endpoints[place])
            return peer

        yield make
        for peer in made:
            peer.close()
