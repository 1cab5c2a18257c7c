"""The net's authority: a directory that says who belongs to the net.

It holds ``authority.key`` (the secret that signs), ``manifest.json`` (the newest signed manifest) and the join files
``NAME.braid``. It is needed only to change the net, never to run it, and is best kept offline.
"""

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import Role, check_name
from braidmq.trust import certificate as certificates
from braidmq.trust import joinfile, private_directory, private_file
from braidmq.trust import manifest as manifests
from braidmq.trust.certificate import Certificate, Claims, check_net
from braidmq.trust.joinfile import JOIN_FILE_BYTES_MAX, JoinFile
from braidmq.trust.manifest import Manifest
from braidmq.trust.signed import KEY_BYTES

KEY_FILE: Final = "authority.key"
MANIFEST_FILE: Final = "manifest.json"
JOIN_SUFFIX: Final = ".braid"

FORMAT_VERSION: Final = 1

KEY_FILE_BYTES_MAX: Final = 64 * 1024
"""Largest ``authority.key``: far more than its few fields take."""

_LOCK_FILE: Final = ".lock"


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


@dataclass(frozen=True, slots=True)
class _Wish:
    """Who is to be registered, with what rights."""

    name: str
    role: Role
    calls: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    observe: bool = False
    endpoints: tuple[str, ...] = ()

    def claims(self, net: str, serial: int, key: PrivateKey) -> Claims:
        """Return what the authority is to sign."""
        return Claims(
            net=net,
            serial=serial,
            name=self.name,
            role=self.role,
            keys=(bytes(key.public_key),),
            calls=self.calls,
            serves=self.serves,
            observe=self.observe,
            endpoints=self.endpoints,
        )


class Authority:
    """Registers the members of a net. Several processes may use one directory at the same time.

    A change is made in this order: the new members' join files, the manifest, the join files of the others. A crash in
    between loses nothing: before the manifest the name can be added again; after it the member is registered, and
    the next `add` brings the other files up to date.

    Attributes:
        directory: where the authority lies.
        net: the net's id, 16 lower-case hex digits.
        public_key: the Ed25519 public key that certificates are verified with, 32 bytes.
        stale: one line for each join file in `directory` that the last `add` could not read or bring up to date.
    """

    def __init__(self, directory: Path, net: str, seed: bytes) -> None:
        self.directory = directory
        self.net = net
        self.public_key = bytes(SigningKey(seed).verify_key)
        self.stale: tuple[str, ...] = ()
        self._seed = seed

    @classmethod
    def create(cls, directory: Path | str) -> Self:
        """Make a new net in `directory`, which is made if need be.

        Raises:
            ConfigError: an authority is there already, it cannot be a directory, or others may change what is in it.
            OSError: it could not be written.
        """
        directory = Path(directory)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ConfigError(f"{directory} is not a directory: name another one") from None
        private_directory.check(directory)
        with _locked(directory):
            if os.path.lexists(directory / KEY_FILE):
                raise ConfigError(f"{directory} holds the authority of a net already: name another directory")
            if os.path.lexists(directory / MANIFEST_FILE) and not _is_unused(directory / MANIFEST_FILE):
                raise ConfigError(
                    f"{directory} holds the manifest of a net without its {KEY_FILE}: "
                    f"bring {KEY_FILE} back, or name another directory"
                )
            authority = cls(directory, secrets.token_hex(8), secrets.token_bytes(KEY_BYTES))
            authority._write_manifest(manifests.issue(authority.net, 0, (), authority._seed))
            key = _KeyText(braidmq_authority=FORMAT_VERSION, net=authority.net, seed=authority._seed)
            private_file.write(directory / KEY_FILE, msgspec.json.encode(key))  # last: it makes the net complete
        return authority

    @classmethod
    def open(cls, directory: Path | str) -> Self:
        """Return the authority in `directory`.

        Raises:
            ConfigError: there is none, others than its owner can read its secret or replace it, or it is damaged.
        """
        directory = Path(directory)
        path = directory / KEY_FILE
        if not os.path.lexists(path):
            raise ConfigError(f"{directory} holds no authority: make one with `braidmq init {directory}`")
        private_directory.check(directory)
        data = private_file.read(path, KEY_FILE_BYTES_MAX)
        try:
            key = msgspec.json.decode(data, type=_KeyText)
            check_net(key.net)
        except (msgspec.MsgspecError, ValueError, RecursionError):  # without the error's text: it could quote a secret
            raise ConfigError(f"{path} is not an authority's key or is damaged: restore it from a backup") from None
        _check_format(path, key.braidmq_authority)
        authority = cls(directory, key.net, key.seed)
        authority.manifest()
        return authority

    def manifest(self) -> Manifest:
        """Return the newest manifest.

        Raises:
            ConfigError: ``manifest.json`` is missing or damaged.
        """
        path = self.directory / MANIFEST_FILE
        data = private_file.read(path, JOIN_FILE_BYTES_MAX)
        try:
            text = msgspec.json.decode(data, type=_ManifestText)
            _check_format(path, text.braidmq_manifest)
            return manifests.verify(text.manifest, self.public_key, self.net)
        except ConfigError:
            raise
        except (ProtocolError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is damaged: {error}; restore it from a backup") from None

    def members(self) -> tuple[Certificate, ...]:
        """Return the certificates of all members, sorted by name.

        Raises:
            ConfigError: ``manifest.json`` is missing or damaged.
        """
        return self.manifest().certificates

    def add_broker(self, name: str, endpoints: Iterable[str]) -> Path:
        """Register a broker and return the path of its join file.

        Args:
            name: of the broker, unique in the net.
            endpoints: where nodes and other brokers reach it, 1 to 8.

        Raises:
            ConfigError: the name or an endpoint is taken or not valid.
            OSError: a file could not be written; repeat the call.
        """
        return self.add_brokers({name: endpoints})[0]

    def add_brokers(self, brokers: Mapping[str, Iterable[str]]) -> tuple[Path, ...]:
        """Register all of several brokers, or none, and return the paths of their join files.

        Args:
            brokers: the endpoints of each, 1 to 8, by its name.

        Raises:
            ConfigError: a name or an endpoint is taken or not valid.
            OSError: a file could not be written; repeat the call.
        """
        return self._add(
            *(
                _Wish(check_name(name), Role.BROKER, endpoints=tuple(dict.fromkeys(endpoints)))
                for name, endpoints in brokers.items()
            )
        )

    def add_node(self, name: str, calls: Iterable[str] = (), serves: Iterable[str] = (), observe: bool = False) -> Path:
        """Register a node and return the path of its join file.

        Args:
            name: of the node, unique in the net.
            calls: patterns of the services it may call, up to 64.
            serves: patterns of the services it may provide, up to 64.
            observe: whether it may read the status of brokers.

        Raises:
            ConfigError: the name is taken, or the name or a pattern is not valid.
            OSError: a file could not be written; repeat the call.
        """
        calls, serves = tuple(dict.fromkeys(calls)), tuple(dict.fromkeys(serves))
        return self._add(_Wish(check_name(name), Role.NODE, calls=calls, serves=serves, observe=observe))[0]

    def _add(self, *wishes: _Wish) -> tuple[Path, ...]:
        paths = tuple(self.directory / f"{wish.name}{JOIN_SUFFIX}" for wish in wishes)
        with _locked(self.directory):
            private_file.remove_unfinished(self.directory)
            old = self.manifest()
            files = self._join_files()
            known = {each.name for each in old.certificates}
            for wish, path in zip(wishes, paths, strict=True):
                if wish.name in known:
                    self._refresh(files, old)
                    raise ConfigError(f"{wish.name!r} is registered already: choose another name")
                self._check_free(path, files)
            _check_endpoints_free(wishes, old)
            # A crash may have left a manifest in a join file that this directory's manifest does not know of.
            version = 1 + max([old.version, *(each.manifest.version for each in files.values() if each.manifest)])
            keys = [PrivateKey.generate() for _ in wishes]
            issued = [
                certificates.issue(wish.claims(self.net, version, key), self._seed)
                for wish, key in zip(wishes, keys, strict=True)
            ]
            new = manifests.issue(self.net, version, (*old.certificates, *issued), self._seed)
            for path, key, certificate in zip(paths, keys, issued, strict=True):
                self._join_file(bytes(key), certificate, new).write(path)
                files.pop(path, None)
            self._write_manifest(new)
            self._refresh(files, new)
        return paths

    def _join_file(self, secret_key: bytes, certificate: Certificate, manifest: Manifest) -> JoinFile:
        return JoinFile(
            secret_key=secret_key,
            certificate=certificate,
            authority_key=self.public_key,
            brokers=manifest.brokers,
            manifest=manifest if certificate.role is Role.BROKER else None,
        )

    def _join_files(self) -> dict[Path, JoinFile]:
        """Read this net's join files in the directory; say in `stale` which ones cannot be read."""
        files: dict[Path, JoinFile] = {}
        unreadable: list[str] = []
        for path in sorted(self.directory.glob(f"[!.]*{JOIN_SUFFIX}")):
            try:
                file = joinfile.load(path)
            except ConfigError as error:
                unreadable.append(str(error))
                continue
            if file.authority_key == self.public_key:
                files[path] = file
        self.stale = tuple(unreadable)
        return files

    def _refresh(self, files: dict[Path, JoinFile], manifest: Manifest) -> None:
        """Bring the join files up to date that lie in the directory: a running member reads its file again."""
        valid = {each.name: each for each in manifest.certificates}
        for path, file in files.items():
            certificate = valid.get(file.name)
            if certificate is None or file.public_key not in certificate.keys:
                continue
            fresh = self._join_file(file.secret_key, certificate, manifest)
            if fresh == file:
                continue
            try:
                fresh.write(path)
            except OSError as error:
                self.stale = (*self.stale, f"{path} could not be brought up to date: {error.strerror}")

    def _check_free(self, path: Path, files: dict[Path, JoinFile]) -> None:
        """Refuse to overwrite a file unless it is what an unfinished `add` or a revoked member left behind."""
        if os.path.lexists(path) and (path not in files or files[path].name != path.name.removesuffix(JOIN_SUFFIX)):
            raise ConfigError(f"{path} is there already and is no join file of this net: move it away")

    def _write_manifest(self, manifest: Manifest) -> None:
        text = _ManifestText(
            braidmq_manifest=FORMAT_VERSION, net=self.net, version=manifest.version, manifest=manifest.blob
        )
        private_file.write(self.directory / MANIFEST_FILE, msgspec.json.encode(text))


def _check_format(path: Path, version: int) -> None:
    if version > FORMAT_VERSION:
        raise ConfigError(f"{path} has format {version}, and this braidmq reads {FORMAT_VERSION}: install a newer one")


def _check_endpoints_free(wishes: Iterable[_Wish], manifest: Manifest) -> None:
    taken = {endpoint: broker.name for broker in manifest.brokers for endpoint in broker.endpoints}
    for wish in wishes:
        for endpoint in wish.endpoints:
            if endpoint in taken:
                raise ConfigError(f"{endpoint} is the endpoint of broker {taken[endpoint]!r} already: choose another")
        taken |= dict.fromkeys(wish.endpoints, wish.name)


def _is_unused(path: Path) -> bool:
    """Whether this manifest is what an interrupted `create` left: it lists nobody."""
    try:
        return msgspec.json.decode(private_file.read(path, JOIN_FILE_BYTES_MAX), type=_ManifestText).version == 0
    except (ConfigError, msgspec.MsgspecError, ValueError, RecursionError):
        return False


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other processes from changing the directory; the lock ends with the process that holds it."""
    path = directory / _LOCK_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, private_file.MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
