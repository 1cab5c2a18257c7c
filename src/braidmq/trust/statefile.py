"""What a node remembers of its net between two runs: the brokers that it knew, their signed list, its own certificate.

The file is a cache. Nothing in it is trusted before it is verified, and a node starts without it. As it is replaced
again and again, its place must not be that of another file.
"""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from braidmq.errors import ConfigError
from braidmq.printable import printable
from braidmq.trust import private_file
from braidmq.trust.certificate import CERTIFICATE_BYTES_MAX
from braidmq.trust.roster import ROSTER_BYTES_MAX
from braidmq.wire.limits import BROKERS_MAX

STATE_FILE_BYTES_MAX: Final = (BROKERS_MAX * CERTIFICATE_BYTES_MAX + ROSTER_BYTES_MAX) * 4 // 3 + 1024
"""Largest state file: as many of the largest certificates as a net has brokers, and their list, in base64."""

FORMAT_VERSION: Final = 1

_BEGINNING: Final = b'{"braidmq_state_file":'
"""How every state file begins, whatever its format and whatever has damaged the rest."""


class _Text(msgspec.Struct, frozen=True, kw_only=True):
    """The file; bytes are base64."""

    braidmq_state_file: int
    brokers: tuple[bytes, ...]
    roster: bytes = b""
    certificate: bytes = b""


@dataclass(frozen=True, slots=True)
class State:
    """What a node remembers; nothing of it is verified.

    Attributes:
        brokers: certificates.
        roster: the signed list of the brokers; empty if there is none.
        certificate: the node's own; empty if that of its join file was the newest.
    """

    brokers: tuple[bytes, ...] = ()
    roster: bytes = b""
    certificate: bytes = b""


def check_place(path: Path) -> None:
    """Make sure that a state file may be put at `path`: what is there is a state file, an empty file, or nothing.

    Raises:
        ConfigError: it is not so. One line says what to do.
    """
    shown = printable(str(path))
    try:
        problem = _problem(path)
    except FileNotFoundError:
        return
    except OSError as error:
        problem = f"cannot be a state file: {error.strerror or error}"
    except ValueError as error:  # a path with a zero byte, or one that the file system cannot spell
        problem = f"is not a path: {error}"
    if problem:
        raise ConfigError(f"{shown} {problem}")


def load(path: Path) -> State:
    """Return what is in the file, unverified; nothing if there is no file, or an empty one.

    Raises:
        ConfigError: it cannot be read, or is no state file.
        OSError: the path leads nowhere.
    """
    try:
        if not path.stat().st_size:
            return State()
    except FileNotFoundError:
        return State()
    try:
        text = msgspec.json.decode(private_file.read(path, STATE_FILE_BYTES_MAX), type=_Text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{printable(str(path))} is not a state file, or is damaged: delete it") from None
    if text.braidmq_state_file != FORMAT_VERSION:
        raise ConfigError(
            f"{printable(str(path))} has format {text.braidmq_state_file}, not {FORMAT_VERSION}: delete it"
        )
    return State(text.brokers[:BROKERS_MAX], text.roster, text.certificate)


def save(path: Path, state: State) -> None:
    """Write the file with mode 0600, whole or not at all.

    Raises:
        ConfigError: something else is at this place.
        OSError: it could not be written.
    """
    check_place(path)
    text = _Text(
        braidmq_state_file=FORMAT_VERSION, brokers=state.brokers, roster=state.roster, certificate=state.certificate
    )
    private_file.write(path, msgspec.json.encode(text))


def _problem(path: Path) -> str:
    """Return why no state file may be put at a path, and what to do; empty if nothing is in its way."""
    if not path.parent.is_dir():
        return f"cannot be a state file: there is no directory {printable(str(path.parent))}"
    kind = path.stat().st_mode
    if stat.S_ISDIR(kind):
        return "is a directory: name a file for the state of the node"
    if not stat.S_ISREG(kind):
        return "is not a regular file: name another one for the state of the node"
    with path.open("rb") as file:
        if file.read(len(_BEGINNING)) in (b"", _BEGINNING):
            return ""
    return "is no state file, and would be overwritten: name another one for the state of the node"
