import random

import msgspec
import pytest

from braidmq.bridges.malamute.core import MalamuteCore
from braidmq.bridges.malamute.options import MalamuteOptions
from tests.support.foreign_net import ForeignNet
from tests.support.malamute import OK, opening

PAYLOAD_BYTES_MAX = 100_000


@pytest.fixture
def make_net():
    """A net with a Malamute bridge of such options, as they stand in its table of the configuration file."""

    def make(**options):
        made = msgspec.convert(options, MalamuteOptions)
        return ForeignNet(lambda rights: MalamuteCore(made, rights, random.Random(1), PAYLOAD_BYTES_MAX))

    return make


@pytest.fixture
def net(make_net):
    return make_net()


@pytest.fixture
def shop(net):
    """The net, with a client that has opened as `shop`."""
    assert net.say("shop", *opening(b"shop")) == [OK]
    return net
