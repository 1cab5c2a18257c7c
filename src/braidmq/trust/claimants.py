"""Who of the enrolled is a member: of those who claim one name, and of those with one key, the best one that counts.

Whoever is the best one of both is a member. So names and keys of members are unique, whatever is claimed and in
whatever order it is heard, and all brokers with the same records have the same members.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import TypeVar

from braidmq.members import Member
from braidmq.trust.enrolment import Enrolment

C = TypeVar("C", str, bytes)


class Record:
    """An enrolment, and what is known of it.

    Attributes:
        enrolment: who it is about.
        seen_at: when that one was seen last, in Unix seconds.
        idle: whether that is too long ago.
        shadowed: whether the registry has a better word on its name or key.
        revision: when it changed last: see `Enrolments.revision`.
    """

    __slots__ = ("enrolment", "idle", "revision", "seen_at", "shadowed")

    def __init__(self, enrolment: Enrolment, seen_at: int) -> None:
        self.enrolment = enrolment
        self.seen_at = seen_at
        self.idle = False
        self.shadowed = False
        self.revision = 0

    @property
    def counts(self) -> bool:
        """Whether it claims its name and key."""
        return not (self.idle or self.shadowed)


def rank(record: Record) -> tuple[int, int, bytes, str, bytes]:
    """Return the order of records: see `rank_of`."""
    return rank_of(record.enrolment)


def rank_of(each: Enrolment) -> tuple[int, int, bytes, str, bytes]:
    """Return the order of enrolments: the lesser of two is the better one."""
    return each.made_at, each.serial, each.key, each.name, each.blob


class Claimants:
    """Records by the name and the key that they claim, and those of them who are members.

    Attributes:
        by_principal: the members, each with its record, by their keys in lower-case hex.
        by_name: their records by their names.
    """

    __slots__ = ("_changed", "_named", "_with_key", "by_name", "by_principal")

    def __init__(self) -> None:
        self.by_principal: dict[str, tuple[Member, Record]] = {}
        self.by_name: dict[str, Record] = {}
        self._named: dict[str, list[Record]] = {}  # the best one first
        self._with_key: dict[bytes, list[Record]] = {}
        self._changed: set[str] = set()

    def add(self, record: Record) -> None:
        """Handle a record that has come."""
        each = record.enrolment
        insort(self._named.setdefault(each.name, []), record, key=rank)
        insort(self._with_key.setdefault(each.key, []), record, key=rank)
        self.settle(record)

    def remove(self, record: Record) -> None:
        """Handle a record that goes."""
        each = record.enrolment
        _leave(self._named, each.name, record)
        _leave(self._with_key, each.key, record)
        if each.name in self._named or each.key in self._with_key:
            self.settle(record)
        elif self.is_member(record):
            self._let(record, member=False)

    def settle(self, changed: Record) -> None:
        """Find out who is a member where a record has come, gone or changed: it touches those of its name and key."""
        name, key = changed.enrolment.name, changed.enrolment.key
        for record in self._holders(name, key):
            if not self._wins(record):
                self._let(record, member=False)
        for best in (self.first_named(name), self.first_with(key)):
            if best is not None and self._wins(best) and not self.is_member(best):
                for loser in self._holders(best.enrolment.name, best.enrolment.key):
                    self._let(loser, member=False)
                self._let(best, member=True)

    def first_named(self, name: str) -> Record | None:
        """Return the best record with this name that counts, or None."""
        return next(_counting(self._named.get(name)), None)

    def named(self, name: str) -> Sequence[Record]:
        """Return the records with this name, whether they count or not, the best one first."""
        return self._named.get(name, ())

    def first_with(self, key: bytes) -> Record | None:
        """Return the best record with this key that counts, or None."""
        return next(_counting(self._with_key.get(key)), None)

    def is_member(self, record: Record) -> bool:
        """Whether a record makes a member."""
        return self.by_name.get(record.enrolment.name) is record

    def is_contested(self, record: Record) -> bool:
        """Whether a record counts, and another one with the same name and another key does, too."""
        each = record.enrolment
        return record.counts and any(other.enrolment.key != each.key for other in _counting(self._named.get(each.name)))

    def take_changed(self) -> frozenset[str]:
        """Return the principals who became members since the last time, are none any more, or are by another record."""
        changed, self._changed = frozenset(self._changed), set()
        return changed

    def _holders(self, name: str, key: bytes) -> set[Record]:
        """Return who is a member with this name or this key."""
        found = {self.by_name.get(name), self.by_principal.get(key.hex(), (None, None))[1]}
        return {record for record in found if record is not None}

    def _wins(self, record: Record) -> bool:
        each = record.enrolment
        return record is self.first_named(each.name) is self.first_with(each.key)

    def _let(self, record: Record, *, member: bool) -> None:
        each = record.enrolment
        if member:
            self.by_principal[each.principal] = each.member, record
            self.by_name[each.name] = record
        else:
            del self.by_principal[each.principal], self.by_name[each.name]
        self._changed.add(each.principal)


def _counting(claimants: list[Record] | None) -> Iterator[Record]:
    return (each for each in claimants or () if each.counts)


def _leave(claimed: dict[C, list[Record]], by: C, record: Record) -> None:
    claimants = claimed[by]
    if len(claimants) == 1:
        del claimed[by]
    else:
        del claimants[bisect_left(claimants, rank(record), key=rank)]
