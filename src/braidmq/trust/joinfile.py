"""What one member needs to join its net, in one private file: ``NAME.braid``.

The file is JSON in exactly the form in which `JoinFile.write` writes it, so that a damaged file is always noticed.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec
from nacl.public import PrivateKey

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import Role
from braidmq.printable import printable
from braidmq.trust import certificate as certificates
from braidmq.trust import manifest as manifests
from braidmq.trust import private_file
from braidmq.trust.certificate import Certificate, check_net
from braidmq.trust.manifest import Manifest
from braidmq.trust.signed import KEY_BYTES
from braidmq.wire.limits import BROKERS_MAX

JOIN_FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Largest join file: the largest manifest in base64 (43 MiB) and the brokers beside it."""

FORMAT_VERSION: Final = 1

_AGAIN: Final = "get it anew from the directory of the net's authority"

_Key = Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]


class _Head(msgspec.Struct, frozen=True):
    braidmq_join_file: int


class _Text(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file, field by field; bytes are base64.

    `checksum` is the SHA-256 of the file as it would be with an empty one. It finds damage where no signature does:
    in the secret key, of which X25519 ignores five bits, and in the list of brokers. It does not stop intent.
    """

    braidmq_join_file: int
    net: str
    name: str
    role: str
    secret_key: _Key
    authority_key: _Key
    certificate: bytes
    brokers: tuple[bytes, ...]
    manifest: bytes | None
    checksum: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinFile:
    """What one member needs to join its net. All of it is verified.

    Attributes:
        secret_key: the member's CURVE secret key, 32 bytes. It is kept out of `repr`.
        certificate: the member's certificate; its keys include `public_key`.
        authority_key: the Ed25519 public key of the net's authority, 32 bytes: the root of all trust.
        brokers: certificates of the net's brokers when the file was written; may be empty in a young net.
        manifest: every valid certificate when the file was written, for brokers; None for nodes.

    Raises:
        ConfigError: the secret key does not belong to the certificate, or the rest does not fit together.
    """

    secret_key: bytes = field(repr=False)
    certificate: Certificate
    authority_key: bytes
    brokers: tuple[Certificate, ...]
    manifest: Manifest | None = None

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        if len(self.secret_key) != KEY_BYTES or self.public_key not in self.certificate.keys:
            raise ConfigError("its secret key does not belong to its certificate")
        if len(self.brokers) > BROKERS_MAX or len({each.name for each in self.brokers}) < len(self.brokers):
            raise ConfigError("its list of brokers is not valid")
        if any(each.role is not Role.BROKER for each in self.brokers):
            raise ConfigError("its list of brokers names a node")
        if (self.manifest is not None) != (self.certificate.role is Role.BROKER):
            raise ConfigError("a broker needs a manifest, and a node must not have one")
        if self.manifest is not None and self.brokers != self.manifest.brokers:
            raise ConfigError("its list of brokers is not that of its manifest")

    @property
    def net(self) -> str:
        """The net's id, 16 lower-case hex digits."""
        return self.certificate.net

    @property
    def name(self) -> str:
        """The member's name."""
        return self.certificate.name

    @property
    def public_key(self) -> bytes:
        """The CURVE public key of `secret_key`, 32 bytes."""
        return bytes(PrivateKey(self.secret_key).public_key)

    def write(self, path: Path | str) -> None:
        """Write the file with mode 0600, whole or not at all.

        Raises:
            OSError: it could not be written; what `path` held before is still there.
        """
        private_file.write(Path(path), self._encode())

    def _encode(self) -> bytes:
        text = _Text(
            braidmq_join_file=FORMAT_VERSION,
            net=self.net,
            name=self.name,
            role=self.certificate.role,
            secret_key=self.secret_key,
            authority_key=self.authority_key,
            certificate=self.certificate.blob,
            brokers=tuple(each.blob for each in self.brokers),
            manifest=None if self.manifest is None else self.manifest.blob,
            checksum=b"",
        )
        checksum = hashlib.sha256(msgspec.json.encode(text)).digest()
        return msgspec.json.encode(msgspec.structs.replace(text, checksum=checksum))

    @classmethod
    def _decode(cls, data: bytes) -> Self:
        """Return the join file in `data`; raise ConfigError without naming the file."""
        if not data.strip():
            raise ConfigError(f"is empty: {_AGAIN}")
        try:
            head = msgspec.json.decode(data, type=_Head)
        except msgspec.ValidationError:
            raise ConfigError("is not a join file: name the NAME.braid file that `braidmq add` wrote") from None
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise ConfigError(f"is not a join file or is damaged: it is not JSON; {_AGAIN}") from None
        if head.braidmq_join_file > FORMAT_VERSION:
            raise ConfigError(
                f"has format {head.braidmq_join_file}, and this braidmq reads {FORMAT_VERSION}: install a newer braidmq"
            )
        try:
            join_file = cls._verify(msgspec.json.decode(data, type=_Text))
        except (ConfigError, ProtocolError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ConfigError(f"is damaged: {error}; {_AGAIN}") from None
        if join_file._encode() != data.strip():  # noqa: SLF001 - the same class
            raise ConfigError(f"is damaged or was edited: {_AGAIN}")
        return join_file

    @classmethod
    def _verify(cls, text: _Text) -> Self:
        if len(text.brokers) > BROKERS_MAX:
            raise ConfigError(f"it lists {len(text.brokers)} brokers: {BROKERS_MAX} are allowed")
        check_net(text.net)
        return cls(
            secret_key=text.secret_key,
            certificate=certificates.verify(text.certificate, text.authority_key, text.net),
            authority_key=text.authority_key,
            brokers=tuple(certificates.verify(each, text.authority_key, text.net) for each in text.brokers),
            manifest=None if text.manifest is None else manifests.verify(text.manifest, text.authority_key, text.net),
        )


def load(path: Path | str) -> JoinFile:
    """Return the join file at `path`, which may be a pipe. Nothing in it is trusted before it is verified.

    Raises:
        ConfigError: it is missing, unreadable, readable by others than its owner and this process's group, damaged, or
            of a newer format. One line says what is wrong and what to do.
    """
    return parse(read(path), path)


def read(path: Path | str) -> bytes:
    """Return what a join file holds, of which nothing is verified yet; for `parse`. A pipe is read once.

    Raises:
        NotPrivateError: others than its owner and this process's group may read or change it.
        ConfigError: it is missing or unreadable.
    """
    return private_file.read(Path(path), JOIN_FILE_BYTES_MAX, handed_over=True)


def parse(data: bytes, path: Path | str) -> JoinFile:
    """Return the join file in `data`, which has come from `path`.

    Raises:
        ConfigError: it is damaged, or of a newer format.
    """
    try:
        return JoinFile._decode(data)  # noqa: SLF001 - the same module
    except ConfigError as error:
        raise ConfigError(f"{printable(str(path))} {error}") from None
