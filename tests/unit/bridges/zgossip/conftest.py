"""A bridge without sockets."""

import pytest

from tests.support.gossip import World


@pytest.fixture
def world():
    return World()
