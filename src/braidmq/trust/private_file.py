"""Files that hold secrets: only their owner can read them, and they are replaced as a whole or not at all."""

import errno
import os
import re
import secrets
import select
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from braidmq.errors import ConfigError
from braidmq.host.clock import monotonic
from braidmq.printable import printable

MODE: Final = 0o600

TEMPORARY_SUFFIX: Final = ".braid-tmp"
"""How the names of unfinished files end; a crash may leave one behind."""

PIPE_S_MAX: Final = 10.0
"""How long a pipe may take to give all that it holds: whatever fetches a secret takes some seconds at most."""

TOGETHER: Final = 500
"""Files that wait for the disk together: one by one, 10,000 of them took minutes."""

_READ_BYTES: Final = 1024 * 1024

_OWN_DESCRIPTOR: Final = re.compile(r"/(?:dev/fd|proc/self/fd)/([0-9]+)\Z")

_MOUNTS: Final = Path("/proc/self/mountinfo")
"""Where Linux tells what is mounted, a line for each: see proc_pid_mountinfo(5)."""

_IN_MEMORY: Final = ("tmpfs", "ramfs")

_ACL: Final = "system.posix_acl_access"
"""Where Linux keeps the access control list of a file. With one, the mode's group stands for everybody in it."""


class NotPrivateError(ConfigError):
    """Others than its owner may read or change a file that holds a secret."""


def read(path: Path, bytes_max: int, *, handed_over: bool = False) -> bytes:
    """Return the content of a private file.

    Args:
        path: of the file; also ``/dev/stdin`` and ``/dev/fd/N``.
        bytes_max: longest content.
        handed_over: whether somebody else may have put it there for this process: in a file of root or this user that
            this process's group can read, in any file of root on a read-only file system in memory, as orchestrators
            mount secrets, or in a pipe.

    Raises:
        ConfigError: it is missing, unreadable, not a regular file, longer than `bytes_max` bytes, or readable by
            others. One line says what to do.
    """
    data = read_head(path, bytes_max, handed_over=handed_over)
    if len(data) > bytes_max:
        raise ConfigError(f"{_shown(path)} is longer than {bytes_max} bytes: it is not a file of BraidMQ")
    return data


def read_head(path: Path, bytes_max: int, *, handed_over: bool = False) -> bytes:
    """Return the first `bytes_max` bytes of a private file, and one more if it has more; see `read`.

    Raises:
        ConfigError: it is missing, unreadable, not a regular file, or readable by others.
    """
    try:
        return _read(path, bytes_max, handed_over=handed_over)
    except FileNotFoundError:
        raise ConfigError(f"{_shown(path)} does not exist: check the path") from None
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(f"{_shown(path)} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a path with a zero byte, or one that the file system cannot spell
        raise ConfigError(f"{str(path)!r} is not a path: {error}") from None


def write(path: Path, data: bytes) -> None:
    """Put `data` into the file `path` with mode 0600, whole or not at all, and durably.

    Whatever happens, `path` holds either all of `data` or what it held before. An existing file keeps its owner.

    Raises:
        OSError: it could not be written; the error names `path`.
    """
    try:
        temporary = _prepare(path, data, sync=True)
        _take_place(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_many(directory: Path, contents: Iterable[tuple[Path, bytes]]) -> tuple[OSError, ...]:
    """Do for many files of one directory what `write` does for one, and wait for the disk once for `TOGETHER` of them.

    Args:
        directory: where they all are.
        contents: their paths, and what is to be in them.

    Returns:
        An error for each that could not be written; it names the file.
    """
    errors: list[OSError] = []
    prepared: list[tuple[Path, Path]] = []
    for path, data in contents:
        try:
            prepared.append((_prepare(path, data, sync=False), path))
        except OSError as error:
            errors.append(OSError(error.errno, error.strerror, str(path)))
        if len(prepared) == TOGETHER:
            errors += _take_places(directory, prepared)
            prepared = []
    return (*errors, *_take_places(directory, prepared))


def _prepare(path: Path, data: bytes, *, sync: bool) -> Path:
    """Write what is to take the place of a file beside it, and return where that is."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    try:
        try:
            os.fchmod(descriptor, MODE)  # whatever the umask
            _keep_owner(path, descriptor)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _take_place(temporary: Path, path: Path) -> None:
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _take_places(directory: Path, prepared: list[tuple[Path, Path]]) -> list[OSError]:
    """Let files take the places of others once all of them are on the disk."""
    if not prepared:
        return []
    errors: list[OSError] = []
    os.sync()
    for temporary, path in prepared:
        try:
            _take_place(temporary, path)
        except OSError as error:
            errors.append(OSError(error.errno, error.strerror, str(path)))
    _sync_directory(directory)
    return errors


def remove_unfinished(directory: Path) -> None:
    """Delete what writers that crashed have left in `directory`; no writer may be at work there."""
    for temporary in directory.glob(f".*{TEMPORARY_SUFFIX}"):
        temporary.unlink(missing_ok=True)


def _shown(path: Path) -> str:
    """Return a path as a message can contain it."""
    return printable(str(path))


def _read(path: Path, bytes_max: int, *, handed_over: bool) -> bytes:
    """Return the content of a private file, but at most one byte more than `bytes_max`."""
    descriptor = _open(path)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise ConfigError(f"{_shown(path)} is a directory: name a file")
        is_pipe = handed_over and stat.S_ISFIFO(found.st_mode)
        if not stat.S_ISREG(found.st_mode) and not is_pipe:
            raise ConfigError(f"{_shown(path)} is not a regular file: copy its content to a file with mode 0600")
        if not _is_private(descriptor, found, handed_over=handed_over):
            elsewhere = (
                f"; where modes cannot be changed, hand it over: --join <(cat {_shown(path)})" if handed_over else ""
            )
            raise NotPrivateError(
                f"{_shown(path)} holds a secret that others may read or change: run `chmod 600 {_shown(path)}` "
                f"(and replace it if they might have read it){elsewhere}"
            )
        if not is_pipe:
            os.lseek(descriptor, 0, os.SEEK_SET)  # one that was open already may have been read
        give_up_at = monotonic() + PIPE_S_MAX
        data = bytearray()
        while len(data) <= bytes_max:
            if is_pipe:
                _wait_for_more(path, descriptor, give_up_at)
            part = os.read(descriptor, min(_READ_BYTES, bytes_max + 1 - len(data)))
            if not part:
                break
            data += part
        return bytes(data)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """Open a file to read. One that is open already is not opened anew, which would need its owner's rights."""
    own = _OWN_DESCRIPTOR.match(str(path))
    if own or str(path) == "/dev/stdin":
        return os.dup(int(own[1]) if own else 0)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not block


def _is_private(descriptor: int, found: os.stat_result, *, handed_over: bool) -> bool:
    """Whether nobody but this user and root can read a file or change it.

    One that was handed over may be read by the group of this process as well, if root owns it, or if it is this user's
    and nobody may write it: that is what orchestrators make. Whoever may write a file of his own can run chmod. Of one
    that root has mounted as a secret the mode does not matter, as long as nobody else may write it: who can read it is
    then decided by who is in the container.
    """
    if not found.st_mode & 0o077:
        return True
    if not handed_over or found.st_mode & 0o022:
        return False
    user = os.geteuid()
    by_root = found.st_uid == 0 != user
    if found.st_uid == 0 and _is_mounted_secret(descriptor, found.st_dev):
        return True
    own = found.st_uid == user and not found.st_mode & 0o200
    return (
        not found.st_mode & 0o037
        and (by_root or own)
        and found.st_gid in (os.getegid(), *os.getgroups())
        and not _has_acl(descriptor)
    )


def _is_mounted_secret(descriptor: int, device: int) -> bool:
    """Whether a file is on a file system in memory that is mounted read-only.

    Orchestrators mount secrets so, each for one container or one service. Nobody does by mistake: to put files there,
    the mount has to be made read-only after that.
    """
    if not os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
        return False
    try:
        mounts = _MOUNTS.read_text(errors="replace")
    except OSError:  # not Linux
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    return any(
        fields[2] == number and fields[fields.index("-") + 1] in _IN_MEMORY
        for fields in map(str.split, mounts.splitlines())
    )


def _has_acl(descriptor: int) -> bool:
    """Whether a file has an access control list: its mode does not say then who can read it."""
    if not hasattr(os, "getxattr"):
        return False
    try:
        return bool(os.getxattr(descriptor, _ACL))
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.EOPNOTSUPP)


def _wait_for_more(path: Path, descriptor: int, give_up_at: float) -> None:
    """Wait until a pipe has more, or its writer has closed it; one of the file system also until there is a writer."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(max(0, int((give_up_at - monotonic()) * 1000))):
        raise ConfigError(f"{_shown(path)} is a pipe that has not given all of its content within {PIPE_S_MAX:g} s")


def _keep_owner(path: Path, descriptor: int) -> None:
    """Give the new file the owner of the old one, whose process would no longer be able to read it otherwise."""
    try:
        old = path.lstat()
    except FileNotFoundError:
        return
    if old.st_uid != os.fstat(descriptor).st_uid:
        os.fchown(descriptor, old.st_uid, old.st_gid)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
