import os
import stat

import pytest

from braidmq.errors import ConfigError
from braidmq.trust import brokerstate, joinfile
from braidmq.trust.authority import Authority
from braidmq.trust.brokerstate import State


@pytest.fixture
def authority(tmp_path):
    return Authority.create(tmp_path / "net")


@pytest.fixture
def identity(authority):
    return joinfile.load(authority.add_broker("b", ["tcp://127.0.0.1:5551"]))


def test_what_was_saved_is_loaded(tmp_path, authority, identity):
    path = tmp_path / "b.state"
    assert brokerstate.load(path, identity) is None
    state = State(authority.manifest().blob, ((b"an enrolment", 5),))
    brokerstate.save(path, state)
    assert brokerstate.load(path, identity) == (authority.manifest(), state.enrolments)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_file_is_none(tmp_path, identity):
    (tmp_path / "b.state").touch(mode=0o600)
    brokerstate.check_place(tmp_path / "b.state")
    assert brokerstate.load(tmp_path / "b.state", identity) is None


def test_damage_and_other_nets_are_told(tmp_path, authority, identity):
    path = tmp_path / "b.state"
    brokerstate.save(path, State(authority.manifest().blob))
    data = path.read_bytes()
    for damaged in (
        data[:-1],
        data[:100] + bytes([data[100] ^ 1]) + data[101:],
        data[:40],
        b"BRAIDMQ BROKER STATE 1\n\xc1",
    ):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match="damaged, or of another net"):
            brokerstate.load(path, identity)
    other = Authority.create(tmp_path / "other")
    brokerstate.save(path, State(other.manifest().blob))
    with pytest.raises(ConfigError, match="another net"):
        brokerstate.load(path, identity)


def test_nothing_else_is_overwritten(tmp_path):
    other = tmp_path / "b.state"
    other.write_text("precious")
    with pytest.raises(ConfigError, match="overwritten"):
        brokerstate.check_place(other)
    with pytest.raises(ConfigError, match="no directory"):
        brokerstate.check_place(tmp_path / "none" / "b.state")
    with pytest.raises(ConfigError, match="cannot be a state file"):
        brokerstate.check_place(tmp_path)


def test_a_pipe_in_its_place_is_told_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "b.state")
    with pytest.raises(ConfigError, match="not a regular file"):
        brokerstate.check_place(tmp_path / "b.state")


def test_it_lies_beside_the_join_file_where_that_has_a_place(tmp_path, authority):
    path = authority.add_broker("b", ["tcp://127.0.0.1:5551"])
    assert brokerstate.beside(path) == path.with_name("b.state")
    assert brokerstate.beside("-") is None
    assert brokerstate.beside(path.read_text()) is None
    assert brokerstate.beside(joinfile.load(path)) is None
    reader, writer = os.pipe()
    try:
        assert brokerstate.beside(f"/dev/fd/{reader}") is None
    finally:
        os.close(reader)
        os.close(writer)
