import os
import secrets
import tempfile

import pytest
from hypothesis import HealthCheck, settings

from braidmq.version import cores
from tests.support.examples import TIMES

NEW_SEEDS = 10
FIRST_NEW_SEED = pytest.StashKey[int]()


COMPILED = cores() == "compiled"

settings.register_profile(
    "braidmq",
    deadline=None,  # a busy machine is no finding
    max_examples=50 * TIMES,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("braidmq")


def pytest_configure(config):
    config.stash[FIRST_NEW_SEED] = secrets.randbelow(1_000_000_000)


def pytest_report_header(config):
    return f"cores: {cores()}; new seeds of the simulator: {NEW_SEEDS} from {config.stash[FIRST_NEW_SEED]}"


@pytest.fixture(scope="session", autouse=True)
def runtime_directory():
    """Let what processes of tests leave behind be in a directory that is removed."""
    with tempfile.TemporaryDirectory(prefix="braidmq-", dir="/tmp") as directory, pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "XDG_RUNTIME_DIR", directory)
        yield


@pytest.fixture
def patch_cores(monkeypatch):
    """Like monkeypatch, for code and constants of the cores and the node's loop."""
    if COMPILED:
        pytest.skip("the code is compiled: it and its constants cannot be changed")
    return monkeypatch


@pytest.fixture
def new_seeds(request):
    first = request.config.stash[FIRST_NEW_SEED]
    return range(first, first + NEW_SEEDS)
