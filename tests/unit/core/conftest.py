"""What tests of the cores share.

- `make`: makes nodes without sockets, which validate their state at the end (see NodeRig).
- `links`: the links of a node that knows no broker yet; they validate their state at the end.
- `solo`: makes the membership of one broker, which validates its state at the end (see Solo); `five` is one.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from braidmq.core.links.links import Links
from braidmq.settings import Settings
from tests.support.rigs.node_rig import NODE, START, checked_rigs, verify
from tests.support.rigs.solo import Solo, checked_solos


@pytest.fixture
def make() -> Iterator[Any]:
    with checked_rigs() as make:
        yield make


@pytest.fixture
def links() -> Iterator[Links]:
    links = Links(Settings(), random.Random(1), verify, own_name=NODE, software="test", now=START)
    yield links
    links.validate_state()


@pytest.fixture
def solo() -> Iterator[Callable[..., Solo]]:
    with checked_solos() as make:
        yield make


@pytest.fixture
def five(solo: Callable[..., Solo]) -> Solo:
    """Five brokers: the least net in which accusers count."""
    return solo("a", "b", "c", "d")
