import secrets

import pytest

NEW_SEEDS = 10
FIRST_NEW_SEED = pytest.StashKey[int]()


def pytest_configure(config):
    config.stash[FIRST_NEW_SEED] = secrets.randbelow(1_000_000_000)


def pytest_report_header(config):
    return f"new seeds of the simulator: {NEW_SEEDS} from {config.stash[FIRST_NEW_SEED]}"


@pytest.fixture
def new_seeds(request):
    first = request.config.stash[FIRST_NEW_SEED]
    return range(first, first + NEW_SEEDS)
