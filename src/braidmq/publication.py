"""Handing a newer registry to a running net, and hearing which brokers have it."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from braidmq.bounds import COMMAND_BROKERS_MAX
from braidmq.carrier.ledger import digest_of, since
from braidmq.carrier.node_loop import NodeLoop
from braidmq.carrier.papers import NodePapers
from braidmq.core.node.publishing import Publishing
from braidmq.core.worker.job import Job
from braidmq.errors import ConfigError
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.manifest import Manifest

PUBLISH_S: Final = 3.0
"""How long it is waited for the last broker: one that is there has the registry within some tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What has become of a registry that was handed in.

    Attributes:
        version: its version.
        have: the brokers that have it, or a newer one.
        lack: the others, each with the reason.
        refused: those among them that have been reached, and refuse it.
    """

    version: int
    have: tuple[str, ...] = ()
    lack: dict[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()


class _Edition:
    """A manifest as it is handed on (see Edition)."""

    def __init__(self, manifest: Manifest) -> None:
        self.version = manifest.version
        self.digest = digest_of(manifest)
        self._manifest = manifest

    def since(self, version: int) -> tuple[int, bytes]:
        """See Edition."""
        return since(self._manifest, version)


def publish(identity: JoinFile, manifest: Manifest, *, wait_s: float = PUBLISH_S) -> Publication:
    """Hand a registry to the brokers of its net, and say which of them have it.

    Args:
        identity: of a member that may publish.
        manifest: the registry.
        wait_s: how long it is waited for the last broker, in seconds.

    Raises:
        ConfigError: that member may not publish.
    """
    if not identity.certificate.publish:
        raise ConfigError(f"{identity.name} may not publish: give it the right by `braidmq set {identity.name}`")
    return asyncio.run(_publish(identity, manifest, wait_s))


async def _publish(identity: JoinFile, manifest: Manifest, wait_s: float) -> Publication:
    with errand(identity, manifest) as loop:
        publishing = loop.core.publish(_Edition(manifest), loop.clock())
        loop.schedule()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not _is_settled(loop, publishing, manifest):
                    await loop.changed()
        return _outcome(loop, publishing, manifest)


@contextlib.contextmanager
def errand(identity: JoinFile, manifest: Manifest) -> Iterator[NodeLoop]:
    """Run a node in this event loop that serves nothing and connects to all brokers of a registry, and end it."""
    papers = NodePapers(identity)
    if manifest.roster is not None:
        papers.take_roster(manifest.roster.blob)  # else a broker with an older one tells which of them are none
    # None of the others hands a registry to a broker whose own one names none of them.
    settings = Settings(brokers_connected_max=COMMAND_BROKERS_MAX)
    loop = NodeLoop(identity, settings, on_stall=lambda _s: None, papers=papers)
    try:
        loop.start(_NoJobs())
        yield loop
    finally:
        loop.abort()


class _NoJobs:
    """A node that serves nothing gets no jobs (see Jobs)."""

    taken = 0

    def take(self, job: Job) -> None:
        """Never called."""
        raise AssertionError(job.service.name)

    def start(self) -> None:
        """There are none."""

    def stop(self, job: Job) -> None:
        """Never called."""
        raise AssertionError(job.service.name)


def _have(publishing: Publishing, version: int) -> set[str]:
    """Return the brokers that have the registry, in their own words or in those of others that have not refused it.

    Those that have refused it for what they have themselves, which is another one of this number or a newer one, may be
    right in that, and so may all of which they tell.
    """
    heard = {name: said for name, said in publishing.outcomes.items() if not said.refused}
    found = {name for name, said in heard.items() if said.version >= version}
    for said in heard.values():
        found |= {each.name for each in said.brokers if each.version >= version}
    return found - {name for name, said in publishing.outcomes.items() if said.refused and said.version >= version}


def _is_settled(loop: NodeLoop, publishing: Publishing, manifest: Manifest) -> bool:
    """Whether every broker has the registry, has refused it, or was tried and cannot be reached."""
    have = _have(publishing, manifest.version)
    for broker in manifest.brokers:
        link = loop.core.brokers.get(broker.name)
        refused = broker.name in publishing.outcomes and publishing.outcomes[broker.name].refused
        failed = link is not None and not link.open and link.failure is not None
        if broker.name not in have and not refused and not failed:
            return False
    return True


def _outcome(loop: NodeLoop, publishing: Publishing, manifest: Manifest) -> Publication:
    have = _have(publishing, manifest.version)
    lack = {}
    for broker in manifest.brokers:
        if broker.name not in have:
            said = publishing.outcomes.get(broker.name)
            lack[broker.name] = said.refused if said is not None and said.refused else _why(loop, broker.name)
    names = tuple(each.name for each in manifest.brokers if each.name in have)
    refused = frozenset(name for name in lack if name in publishing.outcomes and publishing.outcomes[name].refused)
    return Publication(manifest.version, names, lack, refused)


def _why(loop: NodeLoop, name: str) -> str:
    link = loop.core.brokers.get(name)
    if link is None:
        return "not known to whoever publishes yet"
    return "it has not answered in time" if link.open else link.problem or "no connection yet"
