"""The net's authority: a directory that says who belongs to the net.

It is needed only to change the net, never to run it, and is best kept offline. What lies in the directory is told in
`authority_files`, and how a registry follows from the one before in `draft`.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self, Unpack

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from braidmq.errors import ConfigError
from braidmq.members import Role
from braidmq.trust import authority_files, private_directory
from braidmq.trust import manifest as manifests
from braidmq.trust.authority_files import AuthorityFiles
from braidmq.trust.certificate import Certificate
from braidmq.trust.change import OPERATOR, TOKEN_S, Change, done, once, told, young
from braidmq.trust.codes import Netcode, Token
from braidmq.trust.draft import DAY_S, OVERLAP_S, OVERLAP_S_MAX, Changes, Draft
from braidmq.trust.enrolment import Enrolment
from braidmq.trust.invitation import Terms
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.manifest import Manifest
from braidmq.trust.signed import KEY_BYTES
from braidmq.trust.token_keys import TokenKeys, new_seed


class Authority:
    """Registers the members of a net. Several processes may use one directory at the same time.

    A change is made in this order: the join files of the members that it is about, the manifest, the join files of the
    others that lie in the directory. A crash in between loses nothing: before the manifest the change can be repeated;
    after it the change is made, and the next one brings the files up to date. No other member's file is needed.

    Attributes:
        directory: where the authority lies.
        net: the net's id, 16 lower-case hex digits.
        public_key: the Ed25519 public key that certificates are verified with, 32 bytes.
    """

    def __init__(self, directory: Path, net: str, seed: bytes, clock: Callable[[], float] = time.time) -> None:
        self.directory = directory
        self.net = net
        self.public_key = bytes(SigningKey(seed).verify_key)
        self._files = AuthorityFiles(directory, net, self.public_key)
        self._seed = seed
        self._clock = clock

    @classmethod
    def create(cls, directory: Path | str, *, operator: bool = False) -> Self:
        """Make a new net in `directory`, which is made if need be.

        Args:
            directory: where it is to lie.
            operator: whether the net has the member OPERATOR from the start; its join file lies in the directory.

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
        with authority_files.locked(directory):
            authority_files.check_unused(directory, OPERATOR)
            authority = cls(directory, secrets.token_hex(8), secrets.token_bytes(KEY_BYTES))
            files, first = authority._files, manifests.issue(authority.net, 0, (), authority._seed)
            if operator:
                key = PrivateKey.generate()
                draft = Draft(first, authority._seed, authority._clock())
                member = draft.add(OPERATOR, Role.NODE, bytes(key.public_key), observe=True, publish=True, operate=True)
                first = draft.issue()
                files.write_manifest(first)
                told(young(bytes(key), member, authority.public_key, first), first).write(files.path(OPERATOR))
            else:
                files.write_manifest(first)
            files.write_key(authority._seed)  # last: it makes the net complete
        return authority

    @classmethod
    def open(cls, directory: Path | str) -> Self:
        """Return the authority in `directory`.

        Raises:
            ConfigError: there is none, others than its owner can read its secret or replace it, or it is damaged.
        """
        directory = Path(directory)
        authority = cls(directory, *authority_files.read_key(directory))
        authority.manifest()
        return authority

    @property
    def stale(self) -> tuple[str, ...]:
        """One line for each join file in `directory` that the last change could not read or bring up to date."""
        return self._files.stale

    def manifest(self) -> Manifest:
        """Return the newest manifest.

        Raises:
            ConfigError: ``manifest.json`` is missing or damaged.
        """
        return self._files.manifest()

    def members(self) -> tuple[Certificate, ...]:
        """Return the certificates of all members, sorted by name.

        Raises:
            ConfigError: ``manifest.json`` is missing or damaged.
        """
        return self.manifest().certificates

    def join_file(self, name: str) -> JoinFile | None:
        """Return the join file of a member that lies in the directory; None if none does, or it is damaged."""
        return self._files.join_file(name)

    # -- who is there

    def add_broker(self, name: str, endpoints: Iterable[str], *, not_after: int = 0) -> Path:
        """Register a broker and return the path of its join file.

        Args:
            name: of the broker, unique in the net.
            endpoints: where nodes and other brokers reach it, 1 to 8.
            not_after: the Unix time in seconds at which its certificate ends; 0 if it does not.

        Raises:
            ConfigError: the name or an endpoint is taken or not valid.
            OSError: a file could not be written; repeat the call.
        """
        return self.add_brokers({name: endpoints}, not_after=not_after)[0]

    def add_brokers(self, brokers: Mapping[str, Iterable[str]], *, not_after: int = 0) -> tuple[Path, ...]:
        """Register all of several brokers, or none, and return the paths of their join files.

        Args:
            brokers: the endpoints of each, 1 to 8, by its name.
            not_after: the Unix time in seconds at which their certificates end; 0 if they do not.

        Raises:
            ConfigError: a name or an endpoint is taken or not valid.
            OSError: a file could not be written; repeat the call.
        """
        keys = {name: PrivateKey.generate() for name in brokers}

        def add(draft: Draft) -> list[JoinFile]:
            found = []
            for name, key in keys.items():
                public, ends = bytes(key.public_key), brokers[name]
                member = draft.add(name, Role.BROKER, public, endpoints=ends, not_after=not_after)
                found.append(young(bytes(key), member, self.public_key, draft.old))
            return found

        return self._make(add).files

    def add_node(
        self,
        name: str,
        calls: Iterable[str] = (),
        serves: Iterable[str] = (),
        observe: bool = False,
        *,
        publish: bool = False,
        operate: bool = False,
        not_after: int = 0,
    ) -> Path:
        """Register a node and return the path of its join file.

        Args:
            name: of the node, unique in the net.
            calls: patterns of the services it may call, up to 64.
            serves: patterns of the services it may provide, up to 64.
            observe: whether it may read the status of brokers.
            publish: whether it may hand a newer registry to brokers.
            operate: whether it may drain brokers, and take nodes out of work.
            not_after: the Unix time in seconds at which its certificate ends; 0 if it does not.

        Raises:
            ConfigError: the name is taken, or the name or a pattern is not valid.
            OSError: a file could not be written; repeat the call.
        """
        key = PrivateKey.generate()

        def add(draft: Draft) -> list[JoinFile]:
            member = draft.add(
                name,
                Role.NODE,
                bytes(key.public_key),
                calls=calls,
                serves=serves,
                observe=observe,
                publish=publish,
                operate=operate,
                not_after=not_after,
            )
            return [young(bytes(key), member, self.public_key, draft.old)]

        return self._make(add).files[0]

    def admit(
        self,
        name: str,
        role: Role,
        public_key: bytes,
        *,
        calls: Iterable[str] = (),
        serves: Iterable[str] = (),
        observe: bool = False,
        endpoints: Iterable[str] = (),
        publish: bool = False,
        operate: bool = False,
        not_after: int = 0,
    ) -> Change:
        """Register a broker or a node whose key was made elsewhere; no join file is written.

        Args:
            name: of the member, unique in the net.
            role: what it is to be.
            public_key: its CURVE public key, 32 bytes.
            calls: of a node, see `add_node`.
            serves: of a node, see `add_node`.
            observe: of a node, see `add_node`.
            endpoints: of a broker, see `add_broker`.
            publish: of a node, see `add_node`.
            operate: of a node, see `add_node`.
            not_after: the Unix time in seconds at which its certificate ends; 0 if it does not.

        Raises:
            ConfigError: the name, the key or an endpoint is taken, the key was revoked, or something is not valid.
            OSError: a file could not be written; repeat the call.
        """
        return self._make(
            lambda draft: done(
                draft.add(
                    name,
                    role,
                    public_key,
                    calls=calls,
                    serves=serves,
                    observe=observe,
                    endpoints=endpoints,
                    publish=publish,
                    operate=operate,
                    not_after=not_after,
                )
            )
        )

    def remove(self, names: Iterable[str]) -> Change:
        """Remove members; their names may be used again, and their keys, too, if they are registered anew.

        Raises:
            ConfigError: there is no such member; nobody is removed then.
            OSError: a file could not be written; repeat the call.
        """
        return self._make(lambda draft: done(*map(draft.remove, once(names))))

    def revoke(self, names: Iterable[str], enrolled: Iterable[Enrolment] = ()) -> Change:
        """Remove members, and never accept their keys again; their names may be used again.

        Args:
            names: of those who are registered.
            enrolled: those that tokens have made.

        Raises:
            ConfigError: there is no such member or token, a key of the enrolled is that of somebody else, or too many
                keys are revoked; nobody is removed then.
            OSError: a file could not be written; repeat the call.
        """
        return self._make(lambda draft: done(*map(draft.revoke, once(names)), *map(draft.revoke_enrolled, enrolled)))

    def netcode(self) -> Netcode:
        """Return what a machine needs to find the net.

        Raises:
            ConfigError: it has no broker yet.
        """
        return Netcode.of(self.net, self.public_key, self.manifest().brokers)

    def invite(
        self,
        *,
        name: str = "",
        prefix: str = "",
        uses: int = 1,
        ttl_s: int = TOKEN_S,
        calls: Iterable[str] = (),
        serves: Iterable[str] = (),
        observe: bool = False,
        idle_s: int = 0,
    ) -> tuple[Token, Change]:
        """Make a token, whose holder can make members while the authority is offline.

        Args:
            name: the one name that its member has; or
            prefix: what the names of its members begin with.
            uses: how many members it may make, 1 to `invitation.USES_MAX`.
            ttl_s: for how many seconds it makes members.
            calls: of its members, see `add_node`.
            serves: of its members, see `add_node`.
            observe: of its members, see `add_node`.
            idle_s: after how many seconds without a connection a member is dropped; 0 if never.

        Raises:
            ConfigError: the net has no broker yet, the name is taken, or something breaks a rule.
            OSError: a file could not be written; repeat the call.
        """
        seed = new_seed()
        keys = TokenKeys.of(seed)
        until = int(self._clock()) + ttl_s
        netcode = self.netcode()
        made: list[Token] = []

        def invite(draft: Draft) -> list[JoinFile]:
            invited = draft.invite(
                Terms(
                    net=self.net,
                    serial=draft.version,
                    key=keys.key,
                    curve_key=keys.curve_key,
                    uses=uses,
                    not_after=until,
                    name=name,
                    prefix=prefix,
                    calls=once(calls),
                    serves=once(serves),
                    observe=observe,
                    idle_s=idle_s,
                )
            )
            made.append(
                Token(netcode, seed, serial=invited.serial, not_after=until, name=invited.name, prefix=invited.prefix)
            )
            return []

        change = self._make(invite)
        return made[-1], change

    def withdraw(self, serial: int) -> Change:
        """Take a token back: those that it has made members are none any more.

        Raises:
            ConfigError: there is no such token.
            OSError: a file could not be written; repeat the call.
        """

        def withdraw(draft: Draft) -> list[JoinFile]:
            draft.withdraw(serial)
            return []

        return self._make(withdraw)

    # -- what they are

    def change(self, name: str, **wanted: Unpack[Changes]) -> Change:
        """Give a member other rights, endpoints or another end; what is None or left out stays. See `add_node`.

        Raises:
            ConfigError: there is no such member, an endpoint is taken, or something breaks a rule.
            OSError: a file could not be written; repeat the call.
        """
        return self._make(lambda draft: done(draft.change(name, **wanted)))

    def rename(self, old: str, new: str) -> Change:
        """Give a member another name. If its join file lies in the directory, it is moved.

        Raises:
            ConfigError: there is no such member, or the new name is taken or not valid.
            OSError: a file could not be written; repeat the call.
        """

        def rename(draft: Draft) -> list[JoinFile]:
            file = self._files.join_file(old)
            member = draft.rename(old, new)
            if file is None or file.public_key not in member.keys:
                return []
            return [file.renewed(member)]

        return self._make(rename, moved=self._files.path(old))

    def rotate(self, name: str, public_key: bytes | None = None, *, overlap_s: int = OVERLAP_S) -> Change:
        """Give a member a new key; the present one holds for some time beside it.

        Args:
            name: of the member.
            public_key: the new CURVE public key, 32 bytes; None if it is to be made here, and put into the join file,
                which must lie in the directory then.
            overlap_s: how long the present key holds yet, 1 to `OVERLAP_S_MAX` seconds.

        Raises:
            ConfigError: there is no such member, it has two keys already, the new key is taken or was revoked, or its
                join file does not lie in the directory.
            OSError: a file could not be written; repeat the call.
        """
        if not 1 <= overlap_s <= OVERLAP_S_MAX:
            raise ConfigError(f"two keys may hold from 1 s to {OVERLAP_S_MAX // DAY_S} days, not {overlap_s} s")
        until = int(self._clock()) + overlap_s

        def rotate(draft: Draft) -> list[JoinFile]:
            if public_key is not None:
                return done(draft.rotate(name, public_key, until))
            file, member = self._files.join_file(name), draft.member(name)
            if file is not None and file.public_key not in member.keys:
                file = file.before_rotation(member)  # it was begun, and did not come into force
            if file is None or file.public_key not in member.keys:
                raise ConfigError(
                    f"the key of {name!r} does not lie in {self.directory}: make the new one where it does, with "
                    f"`braidmq join --rotate`, and then `braidmq rotate {name} --request CODE` here"
                )
            key = PrivateKey.generate()
            asking = replace(file, old_secret_key=None, next_secret_key=bytes(key))
            return [asking.renewed(draft.rotate(name, bytes(key.public_key), until))]

        return self._make(rotate)

    def finish(self, name: str) -> Change:
        """End the older one of a member's two keys at once.

        Raises:
            ConfigError: there is no such member, or it has one key.
            OSError: a file could not be written; repeat the call.
        """
        return self._make(lambda draft: done(draft.finish(name)))

    def renew(self, names: Iterable[str] | None, not_after: int) -> Change:
        """Let certificates end later.

        Args:
            names: of the members; None for all whose certificates end before that.
            not_after: the Unix time in seconds at which they are to end.

        Raises:
            ConfigError: there is no such member, its certificate never ends, or it ends later as it is.
            OSError: a file could not be written; repeat the call.
        """

        def renew(draft: Draft) -> list[JoinFile]:
            chosen = [each.name for each in draft.old.certificates if 0 < each.not_after < not_after]
            for name in chosen if names is None else once(names):
                draft.renew(name, not_after)
            return []

        return self._make(renew)

    # -- inner

    def _make(self, change: Callable[[Draft], list[JoinFile]], *, moved: Path | None = None) -> Change:
        """Make what `change` says, which returns the join files that come with it, in the place of `moved` as well."""
        with self._files.locked():
            old = self.manifest()
            draft = Draft(old, self._seed, self._clock())
            try:
                files = change(draft)
                new = draft.issue()
                self._check_free(files, old)
            except ConfigError:
                self._files.refresh(old)  # a change before may not have come so far
                raise
            paths = tuple(self._files.path(each.name) for each in files)
            for path, each in zip(paths, files, strict=True):
                told(each, new).write(path)
            if new is not old:
                self._files.write_manifest(new)
            if moved is not None and paths:
                moved.unlink(missing_ok=True)
            self._files.refresh(new)
        return Change(old, new, paths)

    def _check_free(self, files: list[JoinFile], old: Manifest) -> None:
        """Make sure that the files of members that are new, or have a new name, overwrite nothing of value."""
        known = {each.name for each in old.certificates} if files else set()
        for name in [each.name for each in files if each.name not in known]:
            self._files.check_free(name)
