"""What a command has changed in a registry, and the join files that come with it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from braidmq.members import Role
from braidmq.trust.certificate import Certificate
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.manifest import Manifest

TOKEN_S: Final = 15 * 60
"""For how long a token makes members, unless something else is asked for."""

OPERATOR: Final = "operator"
"""The name of the member that a new net has from the start, to observe, to publish and to operate."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a command has changed.

    Attributes:
        before: the registry as it was.
        after: the registry as it is; the same if nothing has changed.
        files: the join files that it has written for the members that it is about; none for keys that lie elsewhere.
    """

    before: Manifest
    after: Manifest
    files: tuple[Path, ...] = ()


def young(secret_key: bytes, member: Certificate, authority_key: bytes, old: Manifest) -> JoinFile:
    """Return the join file of a new member, which is brought up to date once the manifest is written."""
    return JoinFile(secret_key=secret_key, certificate=member, authority_key=authority_key, brokers=old.brokers)


def told(file: JoinFile, new: Manifest) -> JoinFile:
    """Return a file as it is to be written before the manifest is.

    A node's is complete. A broker's has no newer manifest yet: one that never comes into force must not be anywhere.
    """
    if file.certificate.role is Role.BROKER or new.roster is None:
        return file
    return replace(file, roster=new.roster, brokers=new.roster.brokers)


def done(*_changed: Certificate) -> list[JoinFile]:
    """Return that no join file comes with a change."""
    return []


def once(names: Iterable[str]) -> tuple[str, ...]:
    """Return each name once, in order."""
    return tuple(dict.fromkeys(names))
