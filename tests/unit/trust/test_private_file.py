import os
import shutil
import stat
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from braidmq.errors import ConfigError
from braidmq.trust import joinfile, private_file

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")

mounts = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode != 0,
    reason="mount namespaces need root, unshare and a directory /mnt",
)


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
        "from pathlib import Path; from braidmq.trust import joinfile, private_file\n"
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


@root
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


def owned(path, mode, owner, group):
    path.write_bytes(b"data")
    os.chown(path, owner, group)
    path.chmod(mode)
    return path


@root
@pytest.mark.parametrize("mode", [0o440, 0o400, 0o600])
def test_a_file_of_root_that_only_the_own_group_can_read_may_be_handed_over(tmp_path, mode):
    path = owned(tmp_path / "secret", mode, 0, os.getegid())
    assert private_file.read(path, 100, handed_over=True) == b"data"
    link = tmp_path / "link"
    link.symlink_to(path)
    assert private_file.read(link, 100, handed_over=True) == b"data"
    if mode & 0o077:
        with pytest.raises(ConfigError, match="chmod 600"):
            private_file.read(path, 100)


@root
@pytest.mark.parametrize(
    ("mode", "owner", "group"),
    [
        (0o440, 0, 54321),
        (0o440, 12345, 0),
        (0o640, 0, 0),
        (0o444, 0, 0),
        (0o404, 0, 0),
        (0o460, 0, 0),
        (0o660, 0, 0),
        (0o450, 0, 0),
        (0o441, 0, 0),
    ],
)
def test_a_file_that_others_can_touch_is_refused_even_so_with_another_way(tmp_path, mode, owner, group):
    path = owned(tmp_path / "secret", mode, owner, group)
    with pytest.raises(ConfigError, match=rf"chmod 600.*--join <\(cat {path}\)"):
        private_file.read(path, 100, handed_over=True)


@root
@pytest.mark.parametrize("mode", [0o440, 0o640])
def test_a_file_of_root_may_be_handed_over_to_another_user(tmp_path, monkeypatch, mode):
    path = owned(tmp_path / "secret", mode, 0, 12345)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(os, "getegid", lambda: 12345)
    assert private_file.read(path, 100, handed_over=True) == b"data"
    os.chown(path, 12345, 12345)
    if mode & 0o200:
        with pytest.raises(ConfigError, match="chmod 600"):
            private_file.read(path, 100, handed_over=True)


@root
def test_a_supplementary_group_is_an_own_one(tmp_path, monkeypatch):
    path = owned(tmp_path / "secret", 0o440, 0, 54321)
    monkeypatch.setattr(os, "getgroups", lambda: [1, 54321])
    assert private_file.read(path, 100, handed_over=True) == b"data"


@root
def test_a_list_of_others_who_can_read_a_file_is_heeded(tmp_path):
    """One entry for user 12345: read; the mode shows the list's mask as the group's."""
    path = owned(tmp_path / "secret", 0o440, 0, os.getegid())
    entries = [(1, 6, 0xFFFFFFFF), (2, 4, 12345), (4, 0, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)]
    try:
        os.setxattr(
            path, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)
        )
    except (AttributeError, OSError):
        pytest.skip("the file system has no such lists")
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0o040
    with pytest.raises(ConfigError, match="chmod 600"):
        private_file.read(path, 100, handed_over=True)


def pipe_with(data):
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


def test_a_pipe_may_be_handed_over(tmp_path):
    reader = pipe_with(b"data")
    try:
        assert private_file.read(Path(f"/dev/fd/{reader}"), 100, handed_over=True) == b"data"
    finally:
        os.close(reader)


def test_a_pipe_is_read_to_its_end_and_no_further_than_the_limit():
    reader, writer = os.pipe()

    def write():
        for _ in range(200):
            os.write(writer, b"x" * 1_000)
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert private_file.read(Path(f"/dev/fd/{reader}"), 1_000_000, handed_over=True) == b"x" * 200_000
    finally:
        thread.join()
        os.close(reader)
    reader = pipe_with(b"12345")
    try:
        with pytest.raises(ConfigError, match="longer than 4"):
            private_file.read(Path(f"/dev/fd/{reader}"), 4, handed_over=True)
    finally:
        os.close(reader)


def test_a_pipe_that_gives_nothing_is_not_waited_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(private_file, "PIPE_S_MAX", 0.05)
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(ConfigError, match="has not given all of its content within"):
        private_file.read(tmp_path / "fifo", 100, handed_over=True)


def test_a_pipe_that_others_can_read_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "fifo").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        private_file.read(tmp_path / "fifo", 100, handed_over=True)


def test_a_file_that_is_open_already_is_read_from_its_beginning(tmp_path):
    private_file.write(tmp_path / "secret", b"data")
    with (tmp_path / "secret").open("rb") as file:
        file.read()
        for _ in range(2):
            assert private_file.read(Path(f"/proc/self/fd/{file.fileno()}"), 100, handed_over=True) == b"data"


@pytest.mark.parametrize("path", ["/dev/null", "/dev/fd/9999"])
def test_another_device_or_a_descriptor_that_is_closed_is_refused(path):
    with pytest.raises(ConfigError, match=r"regular file|cannot be read"):
        private_file.read(Path(path), 100, handed_over=True)


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nb", os.fsdecode(b"a\xffb")])
def test_whatever_a_path_holds_its_error_can_be_printed(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(ConfigError, match="does not exist") as missing:
        private_file.read(path, 100)
    path.write_bytes(b"data")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600") as public:
        private_file.read(path, 100)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="is longer") as longer:
        private_file.read(path, 1)
    with pytest.raises(ConfigError, match="is not a join file") as other:
        joinfile.load(path)
    assert all(str(error.value).isprintable() for error in (missing, public, longer, other))


READ_APART = """
import os, sys
from pathlib import Path
from braidmq.trust import joinfile, private_file  # imported as root
os.setgid(54321), os.setuid(54321)
try:
    print(private_file.read(Path(sys.argv[1]), 100, handed_over=sys.argv[2] == "yes").decode())
except ValueError as error:
    print(error)
"""


@root
@mounts
@pytest.mark.parametrize(
    ("mode", "owner", "options", "handed_over", "accepted"),
    [
        (0o444, 0, "ro", "yes", True),
        (0o644, 0, "ro", "yes", True),
        (0o444, 0, "rw", "yes", False),
        (0o666, 0, "ro", "yes", False),
        (0o664, 0, "ro", "yes", False),
        (0o444, 12345, "ro", "yes", False),
        (0o444, 0, "ro", "no", False),
    ],
)
def test_a_secret_that_root_has_mounted_may_have_any_mode_that_keeps_others_from_writing(
    mode, owner, options, handed_over, accepted
):
    setup = f"""
        mount -t tmpfs -o mode=755 none /mnt
        printf data > /mnt/secret
        chown {owner} /mnt/secret
        chmod {mode:o} /mnt/secret
        mount -o remount,{options} /mnt
    """
    said = read_apart(setup, handed_over)
    assert (said == "data\n") is accepted, said
    assert accepted or "chmod 600" in said


@root
@mounts
def test_a_disk_that_is_read_only_makes_no_secret_of_a_file(tmp_path):
    owned(tmp_path / "secret", 0o444, 0, 0)
    tmp_path.chmod(0o755)
    kind = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True).stdout
    if kind.strip() in ("tmpfs", "ramfs"):
        pytest.skip("temporary files are in memory here")
    assert "chmod 600" in read_apart(f"mount --bind {tmp_path} /mnt; mount -o remount,bind,ro /mnt", "yes")


def read_apart(setup, handed_over):
    """Return what another user reads of /mnt/secret, after lines of shell that mount something there."""
    command = ["unshare", "-m", "sh", "-ec", f'{setup}\nexec "$@"', "sh", sys.executable, "-c", READ_APART]
    return subprocess.run(
        [*command, "/mnt/secret", handed_over], capture_output=True, text=True, check=True, cwd="/"
    ).stdout
