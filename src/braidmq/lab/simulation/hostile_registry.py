"""What a hostile broker says of registries, and what it hands on to whoever believes that it has a newer one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import msgspec

from braidmq.core.registry.transfer import Shelf
from braidmq.lab.simulation.edition import NET, Authority, Edition, Payload
from braidmq.wire.kinds import Control
from braidmq.wire.registry import (
    DIGEST_BYTES,
    PART_BYTES,
    REGISTRY_BYTES_MAX,
    RegistryPart,
    RegistryVersion,
    RegistryWanted,
)

ABSURD: Final = (2**63 - 1, 2**62, 1_000_000)
"""Versions that no registry has."""


class Forger:
    """Lies about registries; which lie it is depends on the draw.

    Args:
        authority: what there is of true registries, which it may repeat.
        rng: for its draws.
    """

    def __init__(self, authority: Authority, rng: random.Random) -> None:
        self._authority = authority
        self._rng = rng
        self._lies: tuple[Callable[[RegistryWanted], list[RegistryPart]], ...] = (
            self._forged, self._of_another_net, self._older, self._from_another_base, self._unfit, self._endless,
            self._nothing,
        )  # fmt: skip

    def boast(self) -> Control:
        """Return the news that it has a newer registry, or an older one, or another one of that number."""
        newest = self._authority.newest.version
        version = self._rng.choice((*ABSURD, newest + 1, newest + 1, newest, 1, 0))
        return RegistryVersion(version, self._rng.randbytes(DIGEST_BYTES), self._rng.choice((0, 1, 2**53)))

    def parts(self, wanted: RegistryWanted) -> list[RegistryPart]:
        """Return what it hands on of the registry that it has spoken of."""
        return self._rng.choice(self._lies)(wanted)

    # -- its lies

    def _forged(self, wanted: RegistryWanted) -> list[RegistryPart]:
        """Nobody else than its friends is registered, says a signature that is none."""
        version = self._authority.newest.version + 1
        forged = Payload(NET, version, self._authority.newest.payload.entries[:1])
        return _whole(version, self._rng.randbytes(DIGEST_BYTES) + msgspec.msgpack.encode(forged), wanted)

    def _of_another_net(self, wanted: RegistryWanted) -> list[RegistryPart]:
        """The newest one, of another net."""
        payload = msgspec.structs.replace(self._authority.newest.payload, net="another net", version=2**40)
        return _whole(2**40, Edition(payload).blob, wanted)

    def _older(self, wanted: RegistryWanted) -> list[RegistryPart]:
        """A true one that has been replaced, by a newer number."""
        older = self._rng.choice(self._authority.editions)
        return _whole(self._authority.newest.version + 1, older.blob, wanted)

    def _from_another_base(self, wanted: RegistryWanted) -> list[RegistryPart]:
        """A true difference, from another registry than the reader's."""
        newest = self._authority.newest
        since, data = newest.since(self._rng.choice(self._authority.editions).version)
        return [RegistryPart(newest.version + 1, wanted.since if since else 0, len(data), 0, data[:PART_BYTES])]

    def _unfit(self, wanted: RegistryWanted) -> list[RegistryPart]:
        """Parts that do not follow one another."""
        parts = Shelf(self._authority.newest).parts(wanted) or _whole(7, b"nothing", RegistryWanted(0))
        part = self._rng.choice(parts)
        unfit = self._rng.choice(({"offset": part.offset + 1}, {"data": b""}, {"total": 0}, {"since": part.since + 1}))
        return [*parts, msgspec.structs.replace(part, **unfit)]

    def _endless(self, wanted: RegistryWanted) -> list[RegistryPart]:
        """The beginning of the longest registry that there may be."""
        return [
            RegistryPart(2**40, 0, REGISTRY_BYTES_MAX, offset, bytes(PART_BYTES))
            for offset in range(wanted.offset, wanted.offset + wanted.parts * PART_BYTES, PART_BYTES)
            if offset + PART_BYTES <= REGISTRY_BYTES_MAX
        ]

    def _nothing(self, wanted: RegistryWanted) -> list[RegistryPart]:
        """Nothing at all."""
        del wanted
        return []


def _whole(version: int, blob: bytes, wanted: RegistryWanted) -> list[RegistryPart]:
    end = min(len(blob), wanted.offset + wanted.parts * PART_BYTES)
    return [
        RegistryPart(version, 0, len(blob), offset, blob[offset : min(end, offset + PART_BYTES)])
        for offset in range(wanted.offset, end, PART_BYTES)
    ]
