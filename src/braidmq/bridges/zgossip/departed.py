"""Bridges that are gone for good: nobody else takes back what they have published."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from braidmq.bridges.zgossip.keys import Keys
from braidmq.bridges.zgossip.limits import ABSENT_S
from braidmq.bridges.zgossip.log import Tuple


class Departed:
    """Finds out which bridges no broker has listed for ABSENT_S.

    Args:
        keys: of the bridge that asks.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._absent_since: dict[bytes, float] = {}

    def on_listed(self, listed: AbstractSet[str] | None, tuples: Iterable[Tuple], now: float) -> list[bytes]:
        """Take who is connected to any broker; None: nobody knows. Return the keys of those that are gone."""
        if listed is None:
            self._absent_since.clear()
            return []
        standing: dict[bytes, list[bytes]] = {}
        for each in tuples:
            owner = self._keys.owner(each.key) if each.value else None
            if owner is not None:
                standing.setdefault(owner, []).append(each.key)
        names = {name.encode() for name in listed}
        self._absent_since = {owner: self._absent_since.get(owner, now) for owner in standing if owner not in names}
        return [
            key for owner, since in self._absent_since.items() if now - since >= ABSENT_S for key in standing[owner]
        ]
