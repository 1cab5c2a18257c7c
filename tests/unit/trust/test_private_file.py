import os
import stat
import subprocess
import sys

import pytest

from braidmq.errors import ConfigError
from braidmq.trust import private_file


def test_a_file_is_written_with_mode_0600_whatever_the_umask(tmp_path):
    path = tmp_path / "secret"
    for umask in (0, 0o777):
        old = os.umask(umask)
        try:
            private_file.write(path, b"data")
        finally:
            os.umask(old)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert private_file.read(path, 4) == b"data"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_others_could_read_before_becomes_private(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o644)
    private_file.write(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_replaced_and_not_followed(tmp_path):
    target, path = tmp_path / "target", tmp_path / "secret"
    target.write_bytes(b"old")
    path.symlink_to(target)
    private_file.write(path, b"new")
    assert target.read_bytes() == b"old"
    assert not path.is_symlink()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666])
def test_a_file_that_others_can_touch_is_refused(tmp_path, mode):
    path = tmp_path / "secret"
    path.write_bytes(b"data")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        private_file.read(path, 100)


def test_what_is_not_a_file_is_refused_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name, reason in (("", "directory"), ("fifo", "regular"), ("missing", "does not exist"), ("x" * 300, "read")):
        with pytest.raises(ConfigError, match=reason):
            private_file.read(tmp_path / name, 100)
    with pytest.raises(ConfigError, match="not a path"):
        private_file.read(tmp_path / "a\0b", 100)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be read"):
        private_file.read(tmp_path / "file" / "inside", 100)


def test_a_file_beyond_the_limit_is_refused(tmp_path):
    private_file.write(tmp_path / "secret", b"12345")
    assert private_file.read(tmp_path / "secret", 5) == b"12345"
    with pytest.raises(ConfigError, match="longer than 4"):
        private_file.read(tmp_path / "secret", 4)


def test_a_disk_that_is_full_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "secret"
    private_file.write(path, b"old")
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from pathlib import Path; from braidmq.trust import private_file\n"
        "try: private_file.write(Path(sys.argv[1]), bytes(5000))\n"
        "except OSError as error: print(error.filename, end=''); sys.exit(7)"
    )
    child = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (child.returncode, child.stdout) == (7, str(path)), child.stderr
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_directory_is_an_os_error_that_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        private_file.write(tmp_path / "no" / "secret", b"")
    assert raised.value.filename == str(tmp_path / "no" / "secret")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_a_file_keeps_its_owner(tmp_path):
    path = tmp_path / "secret"
    private_file.write(path, b"old")
    os.chown(path, 12345, 12345)
    private_file.write(path, b"new")
    assert (path.stat().st_uid, path.read_bytes()) == (12345, b"new")


def test_unfinished_files_are_removed_and_others_kept(tmp_path):
    (tmp_path / f".a.braid.0{private_file.TEMPORARY_SUFFIX}").touch()
    (tmp_path / "a.braid").touch()
    private_file.remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.braid"]
