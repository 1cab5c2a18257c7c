"""What integration tests share: `async def` tests run in an event loop each, and nets of real processes.

- `live`: an empty net in a directory of its own, whose processes are ended after the test (see processes.LiveNet).
- `lifeline`: tells whether a process that is not the test's own child is still there (see processes.Lifeline).
"""

import pytest

from async_tests import pytest_pyfunc_call
from processes import Lifeline, LiveNet

__all__ = ["pytest_pyfunc_call"]


@pytest.fixture
def live(tmp_path):
    with LiveNet(tmp_path / "net") as net:
        yield net


@pytest.fixture
def lifeline(tmp_path):
    line = Lifeline(tmp_path)
    yield line
    line.close()
