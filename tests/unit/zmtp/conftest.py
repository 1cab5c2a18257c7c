import pytest

from braidmq.zmtp import sodium


@pytest.fixture(autouse=True, params=["in place", "copied"])
def boxes(request, monkeypatch):
    """Every test is run with boxes opened where they lie, and with libsodium's public functions alone."""
    if request.param == "copied":
        monkeypatch.setattr(sodium, "_address", sodium._no_address)
        monkeypatch.setattr(sodium, "_open_at", sodium._open_copied)
        monkeypatch.setattr(sodium, "_seal_at", sodium._seal_copied)
    elif not sodium.IN_PLACE:
        pytest.skip("PyNaCl is built in another way")
    return request.param
