import pytest

from braidmq.errors import ConfigError
from braidmq.trust.authority import Authority
from braidmq.trust.numbered import PROCESSES_MAX, join_files, numbered


@pytest.fixture
def four(authority):
    authority.add_brokers(numbered("b1", ["tcp://h:5551"], 4))
    return authority.directory


def test_one_is_what_it_is_called():
    assert numbered("b1", ["tcp://h:1", "dns+srv://x.example"], 1) == {"b1": ("tcp://h:1", "dns+srv://x.example")}


def test_several_have_numbers_and_ports_that_count_up():
    assert numbered("b1", ["tcp://h:5551", "tcp://[::1]:7000"], 3) == {
        "b1-1": ("tcp://h:5551", "tcp://[::1]:7000"),
        "b1-2": ("tcp://h:5552", "tcp://[::1]:7001"),
        "b1-3": ("tcp://h:5553", "tcp://[::1]:7002"),
    }


@pytest.mark.parametrize("count", [-1, 0, PROCESSES_MAX + 1])
def test_there_cannot_be_none_or_too_many(count, four):
    for ask in (lambda: numbered("b1", ["tcp://h:1"], count), lambda: join_files(four / "b1-1.braid", count)):
        with pytest.raises(ConfigError, match=f"1 to {PROCESSES_MAX} processes, not {count}"):
            ask()


def test_there_can_be_as_many_as_that():
    assert len(numbered("b1", ["tcp://h:1"], PROCESSES_MAX)) == PROCESSES_MAX


@pytest.mark.parametrize(
    ("name", "endpoint", "said"),
    [
        ("b1", "tcp://h:65534", "cannot be counted up by 2"),
        ("b1", "dns+srv://_braid._tcp.example.com", "one broker only"),
        ("b1", "h:1", "begin with tcp://"),
        ("x" * 62, "tcp://h:1", "cannot name a member"),
        ("a b", "tcp://h:1", "cannot name a member"),
    ],
)
def test_what_cannot_be_counted_up_is_refused(name, endpoint, said):
    with pytest.raises(ConfigError, match=said):
        numbered(name, [endpoint], 3)


@pytest.mark.parametrize(("first", "count", "names"), [(1, 4, "1234"), (1, 2, "12"), (3, 2, "34"), (4, 1, "4")])
def test_files_follow_the_first_one(four, first, count, names):
    found = join_files(four / f"b1-{first}.braid", count)
    assert found == {f"b1-{number}": four / f"b1-{number}.braid" for number in names}


def test_files_may_have_no_suffix(four, tmp_path):
    for number in (9, 10):
        (tmp_path / f"of-this-host-{number}").write_bytes((four / f"b1-{number - 8}.braid").read_bytes())
        (tmp_path / f"of-this-host-{number}").chmod(0o600)
    assert list(join_files(tmp_path / "of-this-host-9", 2)) == ["b1-1", "b1-2"]


def test_a_file_that_is_missing_is_named(four):
    with pytest.raises(ConfigError) as caught:
        join_files(four / "b1-1.braid", 5)
    said = str(caught.value)
    assert said.startswith(f"there is no {four}/b1-5.braid, and 5 processes need b1-1.braid to b1-5.braid")
    assert "\n" not in said


@pytest.mark.parametrize("name", ["b1.braid", "b1-0.braid", "b1-.braid", "stdin"])
def test_a_file_without_a_number_is_none_of_several(tmp_path, name):
    with pytest.raises(ConfigError, match="is not the first of 2 join files"):
        join_files(tmp_path / name, 2)


def test_files_must_be_those_of_brokers(authority):
    authority.add_node("n-1")
    authority.add_node("n-2")
    with pytest.raises(ConfigError, match="join file of a node"):
        join_files(authority.directory / "n-1.braid", 2)


def test_two_processes_have_no_file_in_common(four):
    (four / "b1-2.braid").write_bytes((four / "b1-1.braid").read_bytes())
    with pytest.raises(ConfigError, match=r"are both of b1-1"):
        join_files(four / "b1-1.braid", 2)


def test_files_are_of_one_net(four, tmp_path):
    other = Authority.create(tmp_path / "other")
    other.add_broker("x", ["tcp://h:1"])
    (four / "b1-2.braid").write_bytes((tmp_path / "other" / "x.braid").read_bytes())
    with pytest.raises(ConfigError, match="another net"):
        join_files(four / "b1-1.braid", 2)
