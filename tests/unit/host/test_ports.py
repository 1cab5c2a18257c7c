import pytest

from braidmq.host import ports


@pytest.fixture
def system(monkeypatch, tmp_path):
    """Write what the system says of its ports."""

    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        monkeypatch.setattr(ports, name, path)

    write("_RANGE", "40000\t40099\n")
    write("_RESERVED", "\n")
    return write


@pytest.mark.parametrize(("port", "whether"), [(39_999, False), (40_000, True), (40_099, True), (40_100, False)])
def test_a_port_within_the_range_is_ephemeral(system, port, whether):
    assert ports.is_ephemeral(port) is whether


@pytest.mark.parametrize(("port", "whether"), [(40_001, False), (40_002, True), (40_010, False), (40_012, False)])
def test_one_that_somebody_has_reserved_is_not(system, port, whether):
    system("_RESERVED", "40001,40010-40012,8080\n")
    assert ports.is_ephemeral(port) is whether


@pytest.mark.parametrize("text", ["", "many", "1 2 3"])
def test_what_the_system_does_not_say_is_taken_as_usual(system, text):
    system("_RANGE", text)
    assert ports.ephemeral_range() == (32_768, 60_999)
    system("_RESERVED", "nonsense")
    assert ports.is_ephemeral(50_000)
