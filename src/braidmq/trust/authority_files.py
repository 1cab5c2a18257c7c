"""The files of the net's authority, in one directory.

They are ``authority.key`` (the secret that signs), ``manifest.json`` (the newest signed manifest) and the join files
``NAME.braid`` that still lie there. All are private, and each is replaced as a whole or not at all.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec

from braidmq.errors import ConfigError, ProtocolError
from braidmq.host.clock import monotonic
from braidmq.members import Role
from braidmq.trust import joinfile, jointext, private_directory, private_file
from braidmq.trust import manifest as manifests
from braidmq.trust.certificate import Certificate, check_net
from braidmq.trust.joinfile import JOIN_FILE_BYTES_MAX, JoinFile
from braidmq.trust.manifest import Manifest
from braidmq.trust.roster import Roster
from braidmq.trust.signed import KEY_BYTES

KEY_FILE: Final = "authority.key"
MANIFEST_FILE: Final = "manifest.json"
JOIN_SUFFIX: Final = ".braid"

KEY_FORMAT_VERSION: Final = 1

MANIFEST_FORMAT_VERSION: Final = 2
"""From 2 on a manifest tells what was removed and revoked: a braidmq that reads only 1 would leave that out."""

KEY_FILE_BYTES_MAX: Final = 64 * 1024
"""Largest ``authority.key``: far more than its few fields take."""

LOCK_S_MAX: Final = 60.0
"""How long another command may hold the directory: 10,000 join files take some 20 s to write."""

_LOCK_FILE: Final = ".lock"

_LOCK_POLL_S: Final = 0.05


class _KeyText(msgspec.Struct, frozen=True, kw_only=True):
    braidmq_authority: int
    net: str
    seed: Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]


class _ManifestText(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest in base64; `net` and `version` are there for people and are not trusted."""

    braidmq_manifest: int
    net: str
    version: int
    manifest: bytes


class AuthorityFiles:
    """The files of one authority.

    Attributes:
        directory: where they lie.
        net: the net's id.
        public_key: the Ed25519 public key that certificates are verified with, 32 bytes.
        stale: one line for each join file that the last `refresh` could not read or bring up to date.
    """

    def __init__(self, directory: Path, net: str, public_key: bytes) -> None:
        self.directory = directory
        self.net = net
        self.public_key = public_key
        self.stale: tuple[str, ...] = ()
        self._read: tuple[tuple[int, ...], Manifest] | None = None

    def path(self, name: str) -> Path:
        """Return where a member's join file lies, or would lie."""
        return self.directory / f"{name}{JOIN_SUFFIX}"

    def manifest(self) -> Manifest:
        """Return the newest manifest.

        Raises:
            ConfigError: ``manifest.json`` is missing or damaged.
        """
        path = self.directory / MANIFEST_FILE
        stamp = _stamp(path)
        if self._read is not None and stamp and self._read[0] == stamp:
            return self._read[1]
        data = private_file.read(path, JOIN_FILE_BYTES_MAX)
        try:
            text = msgspec.json.decode(data, type=_ManifestText)
            check_format(path, text.braidmq_manifest, MANIFEST_FORMAT_VERSION)
            found = manifests.verify(text.manifest, self.public_key, self.net)
        except ConfigError:
            raise
        except (ProtocolError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is damaged: {error}; restore it from a backup") from None
        self._read = stamp, found
        return found

    def write_manifest(self, manifest: Manifest) -> None:
        """Put a newer manifest in force."""
        text = _ManifestText(
            braidmq_manifest=MANIFEST_FORMAT_VERSION, net=self.net, version=manifest.version, manifest=manifest.blob
        )
        private_file.write(self.directory / MANIFEST_FILE, msgspec.json.encode(text))

    def write_key(self, seed: bytes) -> None:
        """Write the authority's secret."""
        key = _KeyText(braidmq_authority=KEY_FORMAT_VERSION, net=self.net, seed=seed)
        private_file.write(self.directory / KEY_FILE, msgspec.json.encode(key))

    def join_file(self, name: str) -> JoinFile | None:
        """Return the join file of a member if it lies in the directory; None if there is none of this net and name.

        Raises:
            ConfigError: it lies there and cannot be read.
        """
        path = self.path(name)
        if not os.path.lexists(path):
            return None
        found = joinfile.load(path)
        return found if (found.authority_key, found.name) == (self.public_key, name) else None

    def check_free(self, name: str) -> None:
        """Refuse to overwrite a file unless it is what an unfinished change or a removed member has left there.

        Raises:
            ConfigError: something else lies there.
        """
        path = self.path(name)
        try:
            taken = os.path.lexists(path) and self.join_file(name) is None
        except ConfigError:
            taken = True
        if taken:
            raise ConfigError(f"{path} is there already and is no join file of this net: move it away")

    def refresh(self, manifest: Manifest) -> None:
        """Bring the join files up to date that lie in the directory: a running member reads its file again.

        Only the beginning of a file is read if that says that nothing has changed. What fails is said in `stale`. A
        registry that an older braidmq has issued has no list of brokers for nodes: the next change makes one.
        """
        self.stale = ()
        if manifest.roster is None:
            return
        problems: list[str] = []
        errors = private_file.write_many(self.directory, self._outdated(_Fresh(manifest), problems))
        problems += (f"{error.filename} could not be brought up to date: {error.strerror}" for error in errors)
        self.stale = tuple(problems)

    def _outdated(self, fresh: "_Fresh", problems: list[str]) -> Iterator[tuple[Path, bytes]]:
        """Give the join files that are to be written, with their content; add to `problems` what cannot be read."""
        for path in sorted(self.directory.glob(f"[!.]*{JOIN_SUFFIX}")):
            try:
                head = jointext.head(private_file.read_head(path, jointext.HEAD_BYTES_MAX, handed_over=True))
                if head is not None and (head.net != self.net or fresh.is_contents(head.name, head.contents)):
                    continue
                newer = self._newer(joinfile.load(path), fresh)
            except ConfigError as error:
                problems.append(str(error))
                continue
            if newer is not None:
                yield path, newer.encode()

    def _newer(self, file: JoinFile, fresh: "_Fresh") -> JoinFile | None:
        """Return what a file is to be; None if it is that already, or is not for us to change."""
        certificate = fresh.members.get(file.name)
        if file.authority_key != self.public_key or certificate is None:
            return None
        try:
            return file.renewed(
                certificate, roster=fresh.roster_for(certificate), manifest=fresh.manifest_for(certificate)
            )
        except ConfigError:  # its keys are others: that of a former member of this name
            return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the directory; the lock ends with the process that holds it.

        Raises:
            OSError: another one has held it for `LOCK_S_MAX`.
        """
        with locked(self.directory):
            private_file.remove_unfinished(self.directory)
            self._read = None
            yield


class _Fresh:
    """What the join files of a net are to say under one manifest."""

    __slots__ = ("_manifest", "members")

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self.members = {each.name: each for each in manifest.certificates}

    def manifest_for(self, member: Certificate) -> Manifest | None:
        return self._manifest if member.role is Role.BROKER else None

    def roster_for(self, member: Certificate) -> Roster | None:
        return None if member.role is Role.BROKER else self._manifest.roster

    def is_contents(self, name: str, contents: str) -> bool:
        """Whether a file of this name says all that it should; that of nobody is left as it is."""
        member = self.members.get(name)
        if member is None:
            return True
        return contents == joinfile.contents(member, self.roster_for(member), (), self.manifest_for(member))


def read_key(directory: Path) -> tuple[str, bytes]:
    """Return the net's id and the secret of the authority in a directory.

    Raises:
        ConfigError: there is none, others than its owner can read or replace it, or it is damaged.
    """
    path = directory / KEY_FILE
    if directory.is_dir():
        private_directory.check(directory)  # first, as nobody sees what is in that of another user
    if not os.path.lexists(path):
        raise ConfigError(f"{directory} holds no authority: make one with `braidmq init {directory}`")
    data = private_file.read(path, KEY_FILE_BYTES_MAX)
    try:
        key = msgspec.json.decode(data, type=_KeyText)
        check_net(key.net)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # without the error's text: it could quote a secret
        raise ConfigError(f"{path} is not an authority's key or is damaged: restore it from a backup") from None
    check_format(path, key.braidmq_authority, KEY_FORMAT_VERSION)
    return key.net, key.seed


def check_format(path: Path, version: int, known: int) -> None:
    """Raise ConfigError if a file has a newer format than the one that is known."""
    if version > known:
        raise ConfigError(f"{path} has format {version}, and this braidmq reads {known}: install a newer one")


def check_unused(directory: Path, first: str) -> None:
    """Make sure that a new net may be made in a directory: at most an interrupted attempt at one has left files there.

    Args:
        directory: which exists and is locked.
        first: the name of the member that a new net has from the start.

    Raises:
        ConfigError: it holds a net, or what is left of one.
    """
    if os.path.lexists(directory / KEY_FILE):
        raise ConfigError(f"{directory} holds the authority of a net already: name another directory")
    path, join = directory / MANIFEST_FILE, directory / f"{first}{JOIN_SUFFIX}"
    net = _unused_net(path, first) if os.path.lexists(path) else ""
    if net is None:
        raise ConfigError(
            f"{directory} holds the manifest of a net without its {KEY_FILE}: "
            f"bring {KEY_FILE} back, or name another directory"
        )
    if os.path.lexists(join) and not _is_of(join, net):
        raise ConfigError(f"{join} is there already, and a new net makes a file of this name: move it away")


def _unused_net(path: Path, first: str) -> str | None:
    """Return the net of a manifest that an interrupted attempt has left: it lists at most `first`; else None."""
    try:
        text = msgspec.json.decode(private_file.read(path, JOIN_FILE_BYTES_MAX), type=_ManifestText)
        listed = manifests.names_unverified(text.manifest)  # the key that it was signed with is gone
    except (ConfigError, ProtocolError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return text.net if text.version <= 1 and set(listed) <= {first} else None


def _is_of(join: Path, net: str) -> bool:
    try:
        return bool(net) and joinfile.load(join).net == net
    except ConfigError:
        return False


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what differs from one content of a file to the next, as each is a new file."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode, found.st_uid


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other processes from changing a directory; the lock ends with the process that holds it.

    Raises:
        OSError: another one has held it for `LOCK_S_MAX`.
    """
    path = directory / _LOCK_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, private_file.MODE)
    give_up_at = monotonic() + LOCK_S_MAX
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() >= give_up_at:
                    raise OSError(
                        errno.EAGAIN,
                        f"another command has held this net for {LOCK_S_MAX:g} s: wait for it, or end it",
                        str(path),
                    ) from None
                threading.Event().wait(_LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)
