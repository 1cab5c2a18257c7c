"""What a node remembers of its net between two runs: the certificates of the brokers that it knew.

The file is a cache. Nothing in it is trusted before it is verified, and a node starts without it.
"""

from pathlib import Path
from typing import Final

import msgspec

from braidmq.errors import ConfigError
from braidmq.trust import private_file
from braidmq.trust.certificate import CERTIFICATE_BYTES_MAX
from braidmq.wire.limits import BROKERS_MAX

STATE_FILE_BYTES_MAX: Final = BROKERS_MAX * CERTIFICATE_BYTES_MAX * 4 // 3 + 1024
"""Largest state file: as many of the largest certificates as a net has brokers, in base64."""

FORMAT_VERSION: Final = 1


class _Text(msgspec.Struct, frozen=True, kw_only=True):
    """The file; bytes are base64."""

    braidmq_state_file: int
    brokers: tuple[bytes, ...]


def load(path: Path) -> tuple[bytes, ...]:
    """Return the certificates in the file, unverified; none if there is no file.

    Raises:
        ConfigError: it cannot be read, or is no state file.
        OSError: the path leads nowhere.
    """
    try:
        path.lstat()
    except FileNotFoundError:
        return ()
    try:
        text = msgspec.json.decode(private_file.read(path, STATE_FILE_BYTES_MAX), type=_Text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is not a state file, or is damaged: delete it") from None
    if text.braidmq_state_file != FORMAT_VERSION:
        raise ConfigError(f"{path} has format {text.braidmq_state_file}, not {FORMAT_VERSION}: delete it")
    return text.brokers[:BROKERS_MAX]


def save(path: Path, brokers: tuple[bytes, ...]) -> None:
    """Write the file with mode 0600, whole or not at all.

    Raises:
        OSError: it could not be written.
        ValueError: the path cannot name a file.
    """
    private_file.write(path, msgspec.json.encode(_Text(braidmq_state_file=FORMAT_VERSION, brokers=brokers)))
