"""What tests of the cores share.

- `make`: makes nodes without sockets, which validate their state at the end (see rigs.node_rig).
"""

from collections.abc import Iterator
from typing import Any

import pytest

from rigs.node_rig import checked_rigs


@pytest.fixture
def make() -> Iterator[Any]:
    with checked_rigs() as make:
        yield make
