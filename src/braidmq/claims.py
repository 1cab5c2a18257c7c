"""Asking the brokers of a running net who claims names by tokens."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from braidmq.presence import reports, until_settled
from braidmq.publication import errand
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.manifest import Manifest
from braidmq.wire.control import REPORT_CLAIMS_MAX


@dataclass(frozen=True, slots=True)
class Answers:
    """What brokers have told; nobody has verified it.

    Attributes:
        brokers: those that have answered.
        told: of each name that some broker has looked for, the enrolments of who claims it, and how many seconds ago
            each was seen; at most REPORT_CLAIMS_MAX of each broker.
        problem: why there are no more brokers, as far as that is known; may be empty.
    """

    brokers: tuple[str, ...]
    told: dict[str, list[tuple[bytes, int]]]
    problem: str


def ask(identity: JoinFile, manifest: Manifest, names: Iterable[str], *, wait_s: float) -> Answers:
    """Ask all brokers of a net.

    Args:
        identity: of a member that may observe.
        manifest: the registry.
        names: up to CLAIMS_ASKED_MAX.
        wait_s: how long it is waited for the last answer, in seconds. Half of it may go by until each broker is
            connected or has failed.
    """
    return asyncio.run(_ask(identity, manifest, tuple(names), wait_s))


async def _ask(identity: JoinFile, manifest: Manifest, names: tuple[str, ...], wait_s: float) -> Answers:
    with errand(identity, manifest) as loop:
        ends_at = loop.clock() + wait_s
        await until_settled(loop, wait_s / 2)
        found = await reports(loop, max(0.0, ends_at - loop.clock()), names)
        problem = loop.core.diagnosis()
    told: dict[str, list[tuple[bytes, int]]] = {}
    for report in found.values():
        for name, rows in ({} if report.registry is None else report.registry.claims).items():
            told.setdefault(name, []).extend((row.enrolment, row.ago_s) for row in rows[:REPORT_CLAIMS_MAX])
    heard = tuple(sorted(name for name, report in found.items() if not report.denied))
    return Answers(heard, told, f"{identity.name} may not observe" if found and not heard else problem)
