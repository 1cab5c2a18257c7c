import pytest

from braidmq.trust.authority import Authority


@pytest.fixture
def authority(tmp_path):
    return Authority.create(tmp_path / "net")
