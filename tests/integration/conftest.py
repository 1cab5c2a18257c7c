"""What integration tests share: `async def` tests run in an event loop each, and nets of real processes.

- `live`: an empty net in a directory of its own, whose processes are ended after the test (see LiveNet).
- `lifeline`: tells whether a process that is not the test's own child is still there (see Lifeline).
"""

import signal

import pytest

from tests.support.async_tests import pytest_pyfunc_call
from tests.support.processes import Lifeline, LiveNet

__all__ = ["pytest_pyfunc_call"]


@pytest.fixture(scope="session", autouse=True)
def heed_interrupts():
    """A shell lets its background jobs ignore SIGINT, and processes inherit that: tests send SIGINT on purpose."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def live(tmp_path):
    with LiveNet(tmp_path / "net") as net:
        yield net


@pytest.fixture
def lifeline(tmp_path):
    line = Lifeline(tmp_path)
    yield line
    line.close()
