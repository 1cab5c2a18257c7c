"""Files that hold secrets: only their owner can read them, and they are replaced as a whole or not at all."""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from braidmq.errors import ConfigError

MODE: Final = 0o600

TEMPORARY_SUFFIX: Final = ".braid-tmp"
"""How the names of unfinished files end; a crash may leave one behind."""

_READ_BYTES: Final = 1024 * 1024


def read(path: Path, bytes_max: int) -> bytes:
    """Return the content of a private file.

    Raises:
        ConfigError: it is missing, unreadable, not a regular file, longer than `bytes_max` bytes, or readable by
            anyone but its owner. One line says what to do.
    """
    try:
        data = _read(path, bytes_max)
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: check the path") from None
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a path with a zero byte, or one that the file system cannot spell
        raise ConfigError(f"{str(path)!r} is not a path: {error}") from None
    if len(data) > bytes_max:
        raise ConfigError(f"{path} is longer than {bytes_max} bytes: it is not a file of BraidMQ")
    return data


def write(path: Path, data: bytes) -> None:
    """Put `data` into the file `path` with mode 0600, whole or not at all, and durably.

    Whatever happens, `path` holds either all of `data` or what it held before. An existing file keeps its owner.

    Raises:
        OSError: it could not be written; the error names `path`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        try:
            try:
                os.fchmod(descriptor, MODE)  # whatever the umask
                _keep_owner(path, descriptor)
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def remove_unfinished(directory: Path) -> None:
    """Delete what writers that crashed have left in `directory`; no writer may be at work there."""
    for temporary in directory.glob(f".*{TEMPORARY_SUFFIX}"):
        temporary.unlink(missing_ok=True)


def _read(path: Path, bytes_max: int) -> bytes:
    """Return the content of a private file, but at most one byte more than `bytes_max`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not block
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise ConfigError(f"{path} is a directory: name a file")
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{path} is not a regular file: copy its content to a file with mode 0600")
        if mode & 0o077:
            raise ConfigError(
                f"{path} holds a secret that others may read or change: run `chmod 600 {path}` "
                "(and replace it if they might have read it)"
            )
        data = bytearray()
        while len(data) <= bytes_max and (part := os.read(descriptor, min(_READ_BYTES, bytes_max + 1 - len(data)))):
            data += part
        return bytes(data)
    finally:
        os.close(descriptor)


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
