import msgspec
import pytest

from braidmq.bridges.majordomo.core import MajordomoCore
from braidmq.bridges.majordomo.options import MajordomoOptions
from tests.support.foreign_net import ForeignNet

PAYLOAD_BYTES_MAX = 100_000


@pytest.fixture
def make_net():
    """A net with a Majordomo bridge of such options, as they stand in its table of the configuration file."""

    def make(**options):
        made = msgspec.convert(options, MajordomoOptions)
        return ForeignNet(lambda rights: MajordomoCore(made, rights, PAYLOAD_BYTES_MAX))

    return make


@pytest.fixture
def net(make_net):
    return make_net()
