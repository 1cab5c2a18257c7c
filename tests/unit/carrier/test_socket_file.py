"""The file of a Unix socket: who may connect, what it may replace, and when it is removed."""

import errno
import os
import socket
import stat
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
import zmq
from zmq.utils import z85

from braidmq.carrier.doorstep import ADDRESS_CONNECTIONS_MAX
from braidmq.carrier.socket_file import SocketFile, caller_of
from braidmq.zmtp.violation import Refusal
from tests.support.listeners import is_open, listening
from tests.support.streams import as_client, new_pair


@pytest.fixture
def path():
    with tempfile.TemporaryDirectory(prefix="braidmq-", dir="/tmp") as directory:
        yield Path(directory, "b1.sock")


def bound(path):
    made = socket.socket(socket.AF_UNIX)
    try:
        return made, SocketFile(made, f"ipc://{path}")
    except OSError:
        made.close()
        raise


def far(path):
    made = socket.socket(socket.AF_UNIX)
    try:
        made.connect(str(path))
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o177, 0o777])
def test_it_is_for_its_owner_alone_whatever_the_umask(path, umask):
    before = os.umask(umask)
    try:
        made, _ = bound(path)
    finally:
        os.umask(before)
    with closing(made):
        found = path.lstat()
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file does not get the mode of its socket")
def test_it_has_its_mode_from_the_beginning(path, monkeypatch):
    monkeypatch.setattr(Path, "chmod", lambda *_: pytest.fail("it is too late"))
    before = os.umask(0)
    try:
        made, _ = bound(path)
    finally:
        os.umask(before)
    made.close()


def test_nobody_can_connect_before_it_has_its_mode(path):
    made, _ = bound(path)
    with closing(made), pytest.raises(ConnectionRefusedError):
        far(path)


def test_what_a_dead_process_has_left_is_replaced(path):
    dead, _ = bound(path)
    dead.close()
    assert path.exists()
    with listening(bind=f"ipc://{path}"), closing(far(path)):
        pass
    assert not path.exists()


def test_the_socket_of_a_living_process_is_not_taken(path):
    with listening(bind=f"ipc://{path}") as rig:
        with pytest.raises(OSError, match="in use") as raised:
            bound(path)
        assert raised.value.errno == errno.EADDRINUSE
        with closing(far(path)) as late:
            rig.until(lambda: len(rig.listener._peers) == 1)
            assert is_open(late)


def test_not_even_one_whose_queue_is_full(path):
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        with closing(far(path)), pytest.raises(OSError, match="in use"):
            bound(path)


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("/nowhere")])
def test_what_is_no_socket_stays(path, make):
    make(path)
    before = path.lstat()
    with pytest.raises(OSError, match="in use"):
        bound(path)
    assert path.lstat().st_ino == before.st_ino


def test_one_that_has_taken_its_place_stays(path):
    with listening(bind=f"ipc://{path}"):
        path.unlink()
        other, _ = bound(path)
    with closing(other):
        assert path.exists()


def test_one_that_is_gone_already_is_not_missed(path):
    with listening(bind=f"ipc://{path}"):
        path.unlink()


def test_one_that_cannot_be_listened_at_leaves_nothing(path, rig, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "no more can be watched")

    monkeypatch.setattr(rig.poller._selector, "register", full)
    with pytest.raises(OSError, match="no more"):
        rig.listener.bind(f"ipc://{path}")
    assert not path.exists()


def test_members_come_and_go_through_it(path):
    with listening(bind=f"ipc://{path}") as rig:
        keys = new_pair()
        member = as_client(far(path), keys=keys, to=rig.pair.public)

        def serve():
            member.flush()
            member.read(heard)

        heard = []
        rig.until(lambda: [serve(), member.open][1])
        member.send([b"m" * 20, b"n" * 30])
        rig.until(lambda: rig.frames)
        [(route, principal, frame)] = rig.frames
        assert (principal, frame) == (keys.public.hex(), b"m" * 20 + b"n" * 30)
        size = 3 * 1024 * 1024
        rig.listener.send({route: [bytes(size)]})
        rig.until(lambda: [serve(), heard][1])
        assert [len(each) for each in heard] == [size]
        member.close()
        rig.until(lambda: rig.gone)
        assert rig.gone == {route: []}


def test_a_dealer_of_libzmq_is_a_member_there_too(path):
    with listening(bind=f"ipc://{path}") as rig, zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        public, secret = zmq.curve_keypair()
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.curve_publickey, dealer.curve_secretkey = public, secret
        dealer.curve_serverkey = z85.encode(rig.pair.public)
        dealer.connect(rig.endpoint)
        dealer.send(b"m" * 20)
        rig.until(lambda: rig.frames)
        [(route, principal, frame)] = rig.frames
        assert (principal, frame) == (z85.decode(public).hex(), b"m" * 20)
        rig.listener.send({route: [b"back" * 5]})
        rig.until(lambda: dealer.poll(0))
        assert dealer.recv() == b"back" * 5


def test_the_log_says_which_user_has_come(path, caplog):
    def nobody(_key):
        raise Refusal("400", "somebody")

    with listening(bind=f"ipc://{path}", authorise=nobody) as rig:
        stranger = as_client(far(path), to=rig.pair.public)
        rig.until(lambda: [stranger.flush(), stranger.read([]), stranger.end][2])
        stranger.close()
    assert f"from {caller()}: somebody is not registered here" in caplog.text


def test_a_user_has_as_many_connections_at_the_door_as_an_address(path, caplog):
    with listening(bind=f"ipc://{path}") as rig:
        made = [far(path) for _ in range(ADDRESS_CONNECTIONS_MAX + 3)]
        rig.until(lambda: rig.counters["refused_siege"] == 3)
        assert len(rig.listener._peers) == ADDRESS_CONNECTIONS_MAX
        for each in made:
            each.close()
    assert f"the newest one from {caller()}: too many are open from there" in caplog.text


def caller():
    near, far = socket.socketpair()
    with near, far:
        return caller_of(near)


def test_who_has_connected_is_known_where_the_system_tells(monkeypatch):
    assert caller() in (f"user {os.geteuid()} of this machine", "this machine")
    monkeypatch.setattr("braidmq.carrier.socket_file._PEER", None)
    assert caller() == "this machine"
