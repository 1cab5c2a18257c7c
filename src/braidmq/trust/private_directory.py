"""Directories that hold secrets: nobody else may put other files there, or another directory in their place.

The modes of the files themselves do not keep anybody from that.
"""

import grp
import os
import pwd
import stat
from pathlib import Path

from braidmq.errors import ConfigError
from braidmq.printable import printable


def check(directory: Path) -> None:
    """Make sure that nobody but this user and root may change what is in a directory.

    Raises:
        ConfigError: somebody else may. One line says what to do.
        OSError: there is no such directory.
    """
    found = directory.stat()
    shown = printable(str(directory))
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"{shown} has mode {stat.S_IMODE(found.st_mode):04o}, so that others may replace the secrets in it: "
            f"run `chmod 700 {shown}` (and make the net anew if they might have done so)"
        )
    user = os.geteuid()
    if found.st_uid not in (0, user) and user != 0:
        raise ConfigError(
            f"{shown} belongs to another user, who may replace the secrets in it: run this as that user "
            "(`sudo -u USER`), or use a directory of your own"
        )


def check_way(directory: Path) -> None:
    """Make sure that nobody may put another directory in the place of this one, which need not exist yet.

    A directory above it that everybody may write is all right where the sticky bit keeps them from renaming what
    belongs to others, as in ``/tmp``.

    Raises:
        ConfigError: somebody may. One line says what to do.
    """
    for parent in {**dict.fromkeys(directory.absolute().parents), **dict.fromkeys(directory.resolve().parents)}:
        try:
            found = parent.stat()
        except OSError:
            continue  # it is made, or the error told, by whoever opens the directory
        if found.st_mode & stat.S_ISVTX:
            continue
        if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid)):
            shown = printable(str(parent))
            raise ConfigError(
                f"{shown} has mode {stat.S_IMODE(found.st_mode):04o}, so that others may put another directory in the "
                f"place of {printable(str(directory))}: run `chmod go-w {shown}`, or name another directory"
            )


def _is_own_group(group: int) -> bool:
    """Whether a group is this user's alone: many systems give each user one, and make directories writable for it."""
    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}
