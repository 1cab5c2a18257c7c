"""What a broker remembers between two runs: the newest registry that it has seen, and whom tokens have made members.

The file is a cache. Nothing in it is trusted before it is verified, and a broker starts without it; but then it may
take an older registry for the newest one until it has heard another broker.
"""

import os
import stat
from pathlib import Path
from typing import Final

import msgspec

from braidmq.errors import ConfigError, ProtocolError
from braidmq.printable import printable
from braidmq.trust import joinfile, private_file
from braidmq.trust import manifest as manifests
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.manifest import MANIFEST_BYTES_MAX, Manifest

STATE_SUFFIX: Final = ".state"
"""What the name of the file ends in that lies beside the join file."""

STATE_BYTES_MAX: Final = 2 * MANIFEST_BYTES_MAX
"""Largest state file: the largest registry, and as many enrolments as all tokens can make."""

_BEGINNING: Final = b"BRAIDMQ BROKER STATE 1\n"
"""How every state file of a broker begins."""


class State(msgspec.Struct, frozen=True):
    """What is remembered.

    Attributes:
        manifest: the registry, as it travels.
        enrolments: with when each member was seen last, in Unix seconds; not verified.
    """

    manifest: bytes
    enrolments: tuple[tuple[bytes, int], ...] = ()


_decoder = msgspec.msgpack.Decoder(State)


def beside(join: JoinFile | Path | str) -> Path | None:
    """Return where the state file of a broker lies unless something else is said: beside its join file.

    None if nothing can be written there, or the join file has no place of its own.
    """
    if not joinfile.is_path(join):
        return None
    path = Path(join)
    if not path.is_file() or not os.access(path.parent, os.W_OK):
        return None
    return path.with_suffix(STATE_SUFFIX)


def check_place(path: Path) -> None:
    """Make sure that a broker's state file may be put at `path`.

    Raises:
        ConfigError: something else is there, or it cannot be read. One line says what to do.
    """
    shown = printable(str(path))
    if not path.parent.is_dir():
        raise ConfigError(f"{shown} cannot be a state file: there is no directory {printable(str(path.parent))}")
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for its writer
            raise ConfigError(f"{shown} cannot be a state file: it is not a regular file; name another one")
        with path.open("rb") as file:
            found = file.read(len(_BEGINNING))
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{shown} cannot be a state file: {error.strerror or error}") from None
    if found not in (b"", _BEGINNING):
        raise ConfigError(f"{shown} is no state file of a broker, and would be overwritten: name another one")


def load(path: Path, identity: JoinFile) -> tuple[Manifest, tuple[tuple[bytes, int], ...]] | None:
    """Return the registry in a state file, and the enrolments, which are not verified; None if there is no such file.

    Raises:
        ConfigError: it cannot be read, is damaged, or of another net.
    """
    try:
        if not path.stat().st_size:
            return None
    except FileNotFoundError:
        return None
    data = private_file.read(path, STATE_BYTES_MAX)
    try:
        state = _decoder.decode(data.removeprefix(_BEGINNING))
        return manifests.verify(state.manifest, identity.authority_key, identity.net), state.enrolments
    except (ProtocolError, msgspec.MsgspecError, ValueError) as error:
        raise ConfigError(f"{printable(str(path))} is damaged, or of another net: {error}; delete it") from None


def save(path: Path, state: State) -> None:
    """Write the file with mode 0600, whole or not at all.

    Raises:
        OSError: it could not be written.
    """
    private_file.write(path, _BEGINNING + msgspec.msgpack.encode(state))
