"""The state file: what may be there before, and what is never overwritten."""

import os

import pytest

from braidmq.errors import ConfigError
from braidmq.trust import statefile

KNOWN = statefile.State((b"one", b"two"))


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "state"
    assert statefile.load(path) == statefile.State()
    statefile.save(path, KNOWN)
    assert statefile.load(path) == KNOWN
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_and_a_damaged_state_file_are_replaced(tmp_path):
    path = tmp_path / "state"
    path.touch()
    assert statefile.load(path) == statefile.State()
    statefile.save(path, KNOWN)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ConfigError, match="is damaged"):
        statefile.load(path)
    statefile.save(path, KNOWN)
    assert statefile.load(path) == KNOWN


@pytest.mark.parametrize("content", [b"{}", b'{"braidmq_join_file":1}', b" ", b"{", b"\x00" * 100, b"secret"])
@pytest.mark.parametrize("linked", [False, True])
def test_another_file_is_refused_and_stays_as_it_is(tmp_path, content, linked):
    file = path = tmp_path / "file"
    file.write_bytes(content)
    if linked:
        path = tmp_path / "link"
        path.symlink_to(file)
    for use in (lambda: statefile.check_place(path), lambda: statefile.save(path, KNOWN)):
        with pytest.raises(ConfigError, match="is no state file, and would be overwritten"):
            use()
    assert file.read_bytes() == content
    assert path.is_symlink() == linked


def test_what_cannot_be_a_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, said in (
        (tmp_path, "is a directory"),
        (tmp_path / "pipe", "is not a regular file"),
        (tmp_path / "missing" / "state", "there is no directory"),
        (tmp_path / "file" / "state", "there is no directory"),
        (tmp_path / "loop", "cannot be a state file"),
        (tmp_path / ("x" * 300), "cannot be a state file"),
        (tmp_path / "a\0b", "is not a path"),
        (tmp_path / "\ud800", "is not a path"),
    ):
        with pytest.raises(ConfigError, match=said) as refused:
            statefile.check_place(path)
        assert str(refused.value).isprintable()


def test_a_link_that_leads_nowhere_is_replaced(tmp_path):
    path = tmp_path / "link"
    path.symlink_to(tmp_path / "nothing")
    statefile.save(path, KNOWN)
    assert statefile.load(path) == KNOWN
