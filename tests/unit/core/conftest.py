"""What tests of the cores share.

- `make`: makes nodes without sockets, which validate their state at the end (see rigs.node_rig).
- `solo`: makes the membership of one broker, which validates its state at the end (see rigs.solo); `five` is one.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rigs.node_rig import checked_rigs
from rigs.solo import Solo, checked_solos


@pytest.fixture
def make() -> Iterator[Any]:
    with checked_rigs() as make:
        yield make


@pytest.fixture
def solo() -> Iterator[Callable[..., Solo]]:
    with checked_solos() as make:
        yield make


@pytest.fixture
def five(solo: Callable[..., Solo]) -> Solo:
    """Five brokers: the least net in which accusers count."""
    return solo("a", "b", "c", "d")
