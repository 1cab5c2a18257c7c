"""The plugin for pytest: the fixture `net`, a running `braidmq.testing.TestNet`.

pytest loads it by itself where BraidMQ is installed, in every run: so nothing is imported here but pytest until a test
asks for a net. `pytest -p no:braidmq` leaves it out.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from braidmq.testing import TestNet

MARKER: Final = "braidmq"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(brokers=2, settings=None, observer=None): the arguments of the TestNet of the fixture `net`.",
    )


@pytest.fixture
def net(request: pytest.FixtureRequest) -> "Iterator[TestNet]":
    """A running net of BraidMQ with two brokers, b1 and b2, in this process: a `braidmq.testing.TestNet`.

    `@pytest.mark.braidmq(brokers=3, settings=...)` gives it other arguments. Make nodes with `net.blocking_node(NAME)`,
    which end with the net at the latest, or with `net.node(NAME)` in async tests, for `async with`.
    """
    from braidmq.testing import TestNet  # noqa: PLC0415 - only tests that use it pay for it

    marker = request.node.get_closest_marker(MARKER)
    with TestNet(*marker.args, **marker.kwargs) if marker is not None else TestNet() as net:
        yield net
