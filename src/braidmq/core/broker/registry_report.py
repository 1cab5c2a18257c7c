"""What a broker tells an observer of the registry."""

from collections.abc import Container, Iterable
from typing import Protocol

from braidmq.core.broker.ends import Endings
from braidmq.core.broker.last_seen import LastSeen
from braidmq.core.registry.clocks import Clocks
from braidmq.core.registry.ends import SOON_S
from braidmq.core.registry.ledger import Edition
from braidmq.wire.control import REPORT_CLAIMS_MAX, REPORT_ROWS_MAX
from braidmq.wire.registry_status import ClaimStatus, EndStatus, RegistryStatus, SeenStatus, TokenStatus


class Listed(Edition, Endings, Protocol):
    """A registry that can say who is in it."""

    @property
    def members_total(self) -> int:
        """How many members it has, those not counted that tokens have made."""

    def tokens(self, unix_s: float) -> list[TokenStatus]:
        """Return its tokens at a Unix time, by serial."""

    def enrolled(self, unix_s: float, most: int) -> tuple[list[SeenStatus], int]:
        """Return members that tokens have made, at most `most` of them, at a Unix time; and how many there are."""

    def claims(self, name: str, unix_s: float, most: int) -> list[ClaimStatus]:
        """Return who claims a name by a token, at most `most` of them, at a Unix time; the best claim first."""


def registry_status(
    listed: Listed, clocks: Clocks, last_seen: LastSeen, present: Container[str], *, claimed: Iterable[str], now: float
) -> RegistryStatus:
    """Return how the registry stands.

    Args:
        listed: the registry.
        clocks: of the net.
        last_seen: who was connected.
        present: the names of the members that are.
        claimed: names of which it is told who claims them by a token.
        now: the time.
    """
    unix_s = clocks.net_s(now)
    ends = listed.ending(0, unix_s + SOON_S)
    enrolled, enrolled_total = listed.enrolled(unix_s, REPORT_ROWS_MAX)
    return RegistryStatus(
        version=listed.version,
        digest=listed.digest.hex(),
        members=listed.members_total,
        ends=[EndStatus(name, int(end_s - unix_s)) for end_s, name in ends[:REPORT_ROWS_MAX]],
        ends_total=len(ends),
        tokens=listed.tokens(unix_s),
        enrolled=enrolled,
        enrolled_total=enrolled_total,
        seen=last_seen.rows(present, now, REPORT_ROWS_MAX),
        clock_off_s=round(clocks.off_s),
        claims={name: listed.claims(name, unix_s, REPORT_CLAIMS_MAX) for name in claimed},
    )
