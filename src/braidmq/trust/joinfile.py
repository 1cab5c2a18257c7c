"""What one member needs to join its net, in one private file: ``NAME.braid``.

A file without a certificate is that of a member which has asked for one and waits (`pending.Pending`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self, TypeGuard

import msgspec
from nacl.public import PrivateKey

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import Role
from braidmq.printable import printable
from braidmq.trust import certificate as certificates
from braidmq.trust import enrolment, invitation, jointext, private_file
from braidmq.trust import manifest as manifests
from braidmq.trust import roster as rosters
from braidmq.trust.certificate import Certificate, check_net
from braidmq.trust.codes import Netcode
from braidmq.trust.enrolment import Enrolment
from braidmq.trust.jointext import AGAIN, FORMAT_VERSION, OldText, Text
from braidmq.trust.manifest import Manifest
from braidmq.trust.pending import Pending
from braidmq.trust.roster import Roster
from braidmq.trust.signed import KEY_BYTES
from braidmq.wire.limits import BROKERS_MAX

JOIN_FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Largest join file: the largest manifest in base64 (43 MiB) and the brokers beside it."""

STDIN: Final = "-"
"""Stands for what comes in from stdin."""

_MARKS: Final = ('braidmq_join_file"', 'secret_key":')
"""Stand in the text of every join file, also in one that has lost its beginning, and in no path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinFile:
    """What one member needs to join its net. All of it is verified.

    Attributes:
        secret_key: the member's CURVE secret key, 32 bytes. All secrets are kept out of `repr`.
        certificate: the member's certificate, or the `Enrolment` that stands for it; its keys include `public_key`.
        authority_key: the Ed25519 public key of the net's authority, 32 bytes: the root of all trust.
        brokers: certificates of the net's brokers when the file was written; may be empty in a young net.
        manifest: every valid certificate when the file was written, for brokers; None for nodes, and for a broker that
            is to get it from its peers.
        roster: the signed list of `brokers`; None beside a manifest, and where it is not known.
        old_secret_key: while the member's key is rotated, the former key, which holds as long as its certificate says;
            32 bytes.
        next_secret_key: the key that it has asked to have certified beside the present one, 32 bytes.

    Raises:
        ConfigError: the secret key does not belong to the certificate, or the rest does not fit together.
    """

    secret_key: bytes = field(repr=False)
    certificate: Certificate
    authority_key: bytes
    brokers: tuple[Certificate, ...]
    manifest: Manifest | None = None
    roster: Roster | None = None
    old_secret_key: bytes | None = field(default=None, repr=False)
    next_secret_key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        if len(self.secret_key) != KEY_BYTES or self.public_key not in self.certificate.keys:
            raise ConfigError("its secret key does not belong to its certificate")
        if self.old_secret_key is not None and self.certificate.keys != (self.old_public_key, self.public_key):
            raise ConfigError("its old secret key does not belong to its certificate")
        if self.next_secret_key is not None and self.next_public_key in self.certificate.keys:
            raise ConfigError("its next secret key is certified already")
        _check_brokers(self.brokers)
        if self.manifest is not None:
            if self.certificate.role is not Role.BROKER:
                raise ConfigError("a node must not have a manifest")
            if self.roster is not None:
                raise ConfigError("it has a list of brokers beside its manifest")
            if self.brokers != self.manifest.brokers:
                raise ConfigError("its list of brokers is not that of its manifest")
        if self.roster is not None and self.brokers != self.roster.brokers:
            raise ConfigError("its list of brokers is not the signed one")

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
        return _public(self.secret_key)

    @property
    def old_public_key(self) -> bytes | None:
        """The CURVE public key of `old_secret_key`."""
        return None if self.old_secret_key is None else _public(self.old_secret_key)

    @property
    def next_public_key(self) -> bytes | None:
        """The CURVE public key of `next_secret_key`."""
        return None if self.next_secret_key is None else _public(self.next_secret_key)

    @property
    def contents(self) -> str:
        """What tells whether two files of a member say the same of the net (see `jointext.fingerprint`)."""
        return contents(self.certificate, self.roster, self.brokers, self.manifest)

    def before_rotation(self, member: Certificate) -> Self | None:
        """Return this file with its former key alone; None if there is none, or `member` does not have it."""
        if self.old_secret_key is None or self.old_public_key not in member.keys:
            return None
        return replace(self, secret_key=self.old_secret_key, old_secret_key=None, certificate=member)

    def renewed(
        self, certificate: Certificate, *, roster: Roster | None = None, manifest: Manifest | None = None
    ) -> Self:
        """Return the file with a newer certificate of this member, and the secrets that belong to its keys.

        Args:
            certificate: verified. Its name may be another one: members are renamed.
            roster: the list of the brokers that the file is to have; None if it is to keep what it has.
            manifest: that of a broker, in the place of a roster.

        Raises:
            ConfigError: the file has no secret of a key in the certificate.
        """
        secrets = [each for each in (self.old_secret_key, self.secret_key, self.next_secret_key) if each is not None]
        held = {_public(each): each for each in secrets}
        newest = [key for key in certificate.keys if key in held]
        if not newest:
            raise ConfigError("its secret key does not belong to its certificate")
        waits = self.next_secret_key is not None and self.next_public_key not in certificate.keys
        if roster is None and manifest is None:
            roster, manifest, brokers = self.roster, self.manifest, self.brokers
        else:
            brokers = _brokers(roster, manifest)
        return replace(
            self,
            secret_key=held[newest[-1]],
            old_secret_key=held[newest[0]] if len(newest) > 1 else None,
            next_secret_key=self.next_secret_key if waits else None,
            certificate=certificate,
            roster=roster,
            manifest=manifest,
            brokers=brokers,
        )

    def write(self, path: Path | str) -> None:
        """Write the file with mode 0600, whole or not at all.

        Raises:
            OSError: it could not be written; what `path` held before is still there.
        """
        private_file.write(Path(path), self.encode())

    def encode(self) -> bytes:
        """Return the file's content. It holds secrets."""
        listed = self.manifest is None and self.roster is None
        return jointext.encode(
            Text(
                braidmq_join_file=FORMAT_VERSION,
                net=self.net,
                name=self.name,
                role=self.certificate.role,
                contents=self.contents,
                secret_key=self.secret_key,
                old_secret_key=self.old_secret_key,
                next_secret_key=self.next_secret_key,
                authority_key=self.authority_key,
                certificate=self.certificate.blob,
                invitation=self.certificate.invitation.blob if isinstance(self.certificate, Enrolment) else None,
                roster=None if self.roster is None else self.roster.blob,
                brokers=tuple(each.blob for each in self.brokers) if listed else (),
                manifest=None if self.manifest is None else self.manifest.blob,
                netcode=None,
                checksum=b"",
            )
        )


def admitted(waiting: Pending, certificate: Certificate, *, roster: Roster | None = None) -> JoinFile:
    """Return the join file of a member once it has its certificate.

    Args:
        waiting: its file until then.
        certificate: verified; also an `Enrolment`.
        roster: the list of the net's brokers; None if it is not known yet.

    Raises:
        ConfigError: the certificate is for another net, key or name.
    """
    if (certificate.net, certificate.name) != (waiting.netcode.net, waiting.name):
        raise ConfigError(f"the certificate is for {certificate.name!r}, not for {waiting.name!r}")
    return JoinFile(
        secret_key=waiting.secret_key,
        certificate=certificate,
        authority_key=waiting.netcode.authority_key,
        brokers=() if roster is None else roster.brokers,
        roster=roster,
    )


def contents(
    certificate: Certificate,
    roster: Roster | None,
    brokers: Iterable[Certificate],
    manifest: Manifest | None,
) -> str:
    """Return the fingerprint of a file that tells this of the net (see `jointext.fingerprint`)."""
    listed = () if roster is not None or manifest is not None else brokers
    return jointext.fingerprint(
        certificate.blob,
        certificate.invitation.blob if isinstance(certificate, Enrolment) else None,
        None if roster is None else roster.blob,
        (each.blob for each in listed),
        None if manifest is None else manifest.blob,
    )


def load(source: JoinFile | Path | str) -> JoinFile:
    """Return the join file in `source`. Nothing in it is trusted before it is verified.

    Args:
        source: a path, which may be that of a pipe; ``-`` for stdin; the text of a join file itself; or what has been
            loaded already, which is returned as it is.

    Raises:
        ConfigError: it is missing, unreadable, readable by others than its owner and this process's group, damaged, of
            a newer format, or that of a member which still waits for its certificate. One line says what is wrong
            and what to do.
    """
    if isinstance(source, JoinFile):
        return source
    if is_text(source):
        return load_text(str(source))
    return _admitted(load_any(source), shown(source))


def load_any(path: Path | str) -> JoinFile | Pending:
    """Return the join file at a path, or from stdin, also that of a member which waits for its certificate.

    Raises:
        ConfigError: see `load`.
    """
    place = Path("/dev/stdin") if str(path) == STDIN else Path(path)
    return _named(private_file.read(place, JOIN_FILE_BYTES_MAX, handed_over=True), shown(path))


def load_text(text: str, name: str = "the text of the join file") -> JoinFile:
    """Return the join file of which `text` is the content, as an environment variable holds it.

    Args:
        text: the content.
        name: what messages call it.

    Raises:
        ConfigError: it is too long, damaged, of a newer format, or that of a member which waits for its certificate.
    """
    data = text.encode(errors="replace")
    if len(data) > JOIN_FILE_BYTES_MAX:
        raise ConfigError(f"{name} is longer than {JOIN_FILE_BYTES_MAX} bytes: it is not a join file")
    return _admitted(_named(data, name), name)


def is_text(source: Path | str) -> bool:
    """Whether a source is the text of a join file itself, and no path: then it holds a secret."""
    return isinstance(source, str) and any(mark in source for mark in _MARKS)


def is_path(source: JoinFile | Path | str) -> TypeGuard[Path | str]:
    """Whether a source is a file that may be read again."""
    return not isinstance(source, JoinFile) and not is_text(source) and str(source) != STDIN


def shown(source: JoinFile | Path | str) -> str:
    """Return what messages call a source; never its text."""
    if isinstance(source, JoinFile):
        return f"the join file of {source.name}"
    if is_text(source):
        return "the text of the join file"
    return "the join file on stdin" if str(source) == STDIN else printable(str(source))


def decode(data: bytes) -> JoinFile | Pending:
    """Return the join file in `data`.

    Raises:
        ConfigError: it is none, or is damaged. The text goes on after the file's name.
    """
    text = jointext.decode(data)
    try:
        found = _verify_old(text) if isinstance(text, OldText) else _verify(text)
    except (ConfigError, ProtocolError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(f"is damaged: {error}; {AGAIN}") from None
    if (jointext.encode(text) if isinstance(text, OldText) else found.encode()) != data.strip():
        raise ConfigError(f"is damaged or was edited: {AGAIN}")
    return found


def _named(data: bytes, name: str) -> JoinFile | Pending:
    try:
        return decode(data)
    except ConfigError as error:
        raise ConfigError(f"{name} {error}") from None


def _admitted(found: JoinFile | Pending, name: str) -> JoinFile:
    if isinstance(found, JoinFile):
        return found
    raise ConfigError(
        f"{name} has no certificate yet: {found.name} has asked for one and waits; run `braidmq join` again there "
        "once the net's operator has registered it"
    )


def _verify(text: Text) -> JoinFile | Pending:
    check_net(text.net)
    brokers = _verify_brokers(text)
    if text.certificate is None:
        if text.netcode is None:
            raise ConfigError("it has no certificate")
        return Pending(secret_key=text.secret_key, name=text.name, netcode=Netcode.decode(text.netcode))
    roster = None if text.roster is None else rosters.verify(text.roster, text.authority_key, text.net)
    manifest = None if text.manifest is None else manifests.verify(text.manifest, text.authority_key, text.net)
    return JoinFile(
        secret_key=text.secret_key,
        old_secret_key=text.old_secret_key,
        next_secret_key=text.next_secret_key,
        certificate=certified(text.certificate, text.invitation or b"", text.authority_key, text.net),
        authority_key=text.authority_key,
        brokers=brokers if roster is None and manifest is None else _brokers(roster, manifest),
        manifest=manifest,
        roster=roster,
    )


def certified(blob: bytes, invited: bytes, authority_key: bytes, net: str) -> Certificate:
    """Return a member's certificate, or its enrolment if there is an invitation that this relies on.

    Raises:
        ProtocolError: neither the authority nor whoever it has invited has signed it for this net, or a rule is broken.
    """
    if not invited:
        return certificates.verify(blob, authority_key, net)
    return enrolment.verify(blob, invitation.verify(invited, authority_key, net))


def _verify_old(text: OldText) -> JoinFile:
    check_net(text.net)
    found = JoinFile(
        secret_key=text.secret_key,
        certificate=certificates.verify(text.certificate, text.authority_key, text.net),
        authority_key=text.authority_key,
        brokers=_verify_brokers(text),
        manifest=None if text.manifest is None else manifests.verify(text.manifest, text.authority_key, text.net),
    )
    if (found.manifest is not None) != (found.certificate.role is Role.BROKER):
        raise ConfigError("a broker needs a manifest, and a node must not have one")
    if (text.name, text.role) != (found.name, found.certificate.role):
        raise ConfigError("it is not the file of whom its certificate names")
    return found


def _verify_brokers(text: Text | OldText) -> tuple[Certificate, ...]:
    if len(text.brokers) > BROKERS_MAX:
        raise ConfigError(f"it lists {len(text.brokers)} brokers: {BROKERS_MAX} are allowed")
    return tuple(certificates.verify(each, text.authority_key, text.net) for each in text.brokers)


def _brokers(roster: Roster | None, manifest: Manifest | None) -> tuple[Certificate, ...]:
    if manifest is not None:
        return manifest.brokers
    return () if roster is None else roster.brokers


def _check_brokers(brokers: tuple[Certificate, ...]) -> None:
    if len(brokers) > BROKERS_MAX or len({each.name for each in brokers}) < len(brokers):
        raise ConfigError("its list of brokers is not valid")
    if any(each.role is not Role.BROKER for each in brokers):
        raise ConfigError("its list of brokers names a node")


def _public(secret_key: bytes) -> bytes:
    return bytes(PrivateKey(secret_key).public_key)
