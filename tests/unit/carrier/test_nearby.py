"""Where the brokers of this machine are found, and which directories are believed."""

import os
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from braidmq.carrier import nearby
from braidmq.carrier.nearby import DISTRUST_S, Nearby, NoPlace, directories
from braidmq.wire.limits import BROKERS_MAX
from tests.support.nearby import sockets_in_a_directory_of_their_own

NET = Nearby("net", b"a" * 32)


@pytest.fixture
def runtime():
    with sockets_in_a_directory_of_their_own() as directory:
        yield directory


def path_of(endpoint):
    assert endpoint.startswith("ipc:///")
    return endpoint.removeprefix("ipc://")


def listening(path, backlog=8):
    made = socket.socket(socket.AF_UNIX)
    made.bind(path)
    made.listen(backlog)
    return made


def reached(found):
    """Whether there is a connection; it is closed."""
    if found is not None:
        found.socket.close()
    return found is not None


# -- where


def test_a_broker_has_its_place_in_the_directory_of_the_session(runtime):
    path = path_of(NET.place("b1"))
    assert Path(path).parent == runtime / "braidmq"
    assert NET.place("b1") == Nearby("net", b"a" * 32).place("b1")


def test_every_broker_of_every_net_has_a_place_of_its_own(runtime):
    nets = [NET, Nearby("net", b"b" * 32), Nearby("ne", b"ta" * 16), Nearby("net" + "a" * 31, b"a")]
    places = {net.place(name) for net in nets for name in ("b1", "b2", "ab1", "x" * 200)}
    assert len(places) == 4 * len(nets)
    assert len({len(place) for place in places}) == 1, "names of any length"


@pytest.mark.parametrize("value", ["", "here/and/there"])
def test_without_a_directory_of_the_session_it_is_in_the_one_of_the_user(runtime, monkeypatch, value):
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    expected = nearby.COMMON / f"braidmq-{os.geteuid()}"
    assert directories() == (expected,)
    assert path_of(NET.place("b1")).startswith(f"{expected}/")


def test_a_directory_of_the_session_that_is_not_there_is_none(runtime):
    runtime.rmdir()
    assert path_of(NET.place("b1")).startswith(f"{nearby.COMMON}/braidmq-")


def test_a_path_that_is_too_long_for_a_socket_is_none(runtime, monkeypatch):
    deep = runtime / ("x" * 60)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    path = path_of(NET.place("b1"))
    assert path.startswith(f"{nearby.COMMON}/braidmq-")
    listening(path).close()
    monkeypatch.setattr(nearby, "COMMON", deep)
    with pytest.raises(NoPlace, match=r"braidmq is too long for the path of a socket; .*braidmq-\d+ is too long"):
        NET.place("b1")
    assert NET.call("b1", 0.0) is None


# -- whose


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_the_directory_is_made_for_this_user_alone(runtime, umask):
    before = os.umask(umask)
    try:
        NET.place("b1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((runtime / "braidmq").stat().st_mode) == 0o700


def loose(directory):
    directory.mkdir()
    directory.chmod(0o710)


def foreign(directory):
    directory.mkdir(0o700)
    if os.geteuid():
        pytest.skip("only root can give a directory away")
    os.chown(directory, 12345, -1)


def linked(directory):
    (directory.parent / "elsewhere").mkdir(0o700)
    directory.symlink_to(directory.parent / "elsewhere")


def occupied(directory):
    directory.write_text("")


def closed(directory):
    directory.mkdir(0o500)


WRONG = {
    loose: "has mode 0710: run `chmod 700",
    foreign: "belongs to another user",
    linked: "is not a directory",
    occupied: "is not a directory",
    closed: "has mode 0500: run `chmod 700",
}


@pytest.mark.parametrize(("spoil", "why"), WRONG.items())
def test_a_directory_that_is_not_this_users_alone_is_not_used(runtime, spoil, why):
    right = path_of(NET.place("b1"))
    with closing(listening(right)):
        assert reached(NET.call("b1", 0.0))
        (runtime / "braidmq").rename(runtime / "before")
        spoil(runtime / "braidmq")
        if (runtime / "braidmq").is_dir():
            (runtime / "before" / Path(right).name).rename(right)
            assert reached_by_hand(right), "its socket is heard all the same"
        assert not reached(NET.call("b1", 0.0)), "and is not looked at"
    assert path_of(NET.place("b1")).startswith(f"{nearby.COMMON}/"), "the next one is used in its place"
    own = nearby.COMMON / f"braidmq-{os.geteuid()}"
    own.chmod(0o755)
    with pytest.raises(NoPlace) as raised:
        NET.place("b1")
    assert f"{runtime}/braidmq {why}" in str(raised.value)
    assert f"{own} has mode 0755" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    if spoil in (loose, closed):
        (runtime / "braidmq").chmod(0o700)
        assert path_of(NET.place("b1")) == right


def reached_by_hand(path):
    with socket.socket(socket.AF_UNIX) as caller:
        return caller.connect_ex(path) == 0


# -- who is called


def test_a_broker_is_found_in_either_directory(runtime, monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    service = path_of(NET.place("b1"))
    with closing(listening(service)):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        found = NET.call("b1", 0.0)
        assert found is not None
        assert found.path == service
        assert not found.socket.getblocking()
        found.socket.close()
        assert NET.call("b2", 0.0) is None


def test_what_does_not_answer_is_no_broker(runtime):
    path = path_of(NET.place("b1"))
    assert NET.call("b1", 0.0) is None
    listening(path).close()
    assert NET.call("b1", 0.0) is None, "its broker is dead"
    Path(path).unlink()
    Path(path).touch()
    assert NET.call("b1", 0.0) is None, "it is no socket"
    Path(path).unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path)
        assert NET.call("b1", 0.0) is None, "it is one of another kind"


def test_a_broker_whose_queue_is_full_is_not_waited_for(runtime):
    with closing(listening(path_of(NET.place("b1")), backlog=0)):
        calls = []
        while (call := NET.call("b1", 0.0)) is not None:
            calls.append(call.socket)
        assert calls
        for each in calls:
            each.close()


def test_a_socket_that_did_not_lead_to_its_broker_is_left_alone_for_a_while(runtime):
    with closing(listening(path_of(NET.place("b1")), 8)), closing(listening(path_of(NET.place("b2")), 8)):
        net = Nearby("net", b"a" * 32)
        net.distrust("b1", 5.0)
        assert not reached(net.call("b1", 5.0 + 0.9 * DISTRUST_S))
        assert reached(net.call("b2", 5.0))
        assert reached(net.call("b1", 5.0 + DISTRUST_S))
        assert reached(net.call("b1", 5.0)), "it is forgotten"


def test_of_those_that_are_left_alone_only_as_many_are_known_as_a_net_has_brokers():
    net = Nearby("net", b"a" * 32)
    for number in range(2 * BROKERS_MAX):
        net.distrust(f"b{number}", float(number))
        net.distrust("again", float(number))
    assert len(net._left_until) == BROKERS_MAX
    assert {"again", f"b{2 * BROKERS_MAX - 1}"} <= net._left_until.keys()
