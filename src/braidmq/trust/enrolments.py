"""Who was enrolled by tokens, as brokers know it: a set that they tell each other, and that grows together.

Of each token's enrolments a broker keeps the map (key, name) -> (enrolment, when it was seen last). Two maps are merged
by union, the later time, and the lesser of two enrolments that say the same; if that makes more than `OVERUSE` times as
many as the token may make, those with the least keys remain. So merging is commutative, associative and idempotent,
and no order of messages matters. Who is a member follows from the set and the registry: of two that share a name or a
key the lesser one, none that the registry has a better word on, and none that was gone for too long.

What is new is let in by `admit` only, by a broker that knows the time and counts the uses. `merge` believes other
brokers that they did so: parts of a net that cannot hear each other may admit too many, and these stay, and are told.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final, NamedTuple

from braidmq.errors import ProtocolError
from braidmq.members import Member
from braidmq.trust import enrolment as enrolments
from braidmq.trust.certificate import TIME_MAX_S
from braidmq.trust.claimants import Claimants, Record, rank
from braidmq.trust.enrolment import Enrolment, Statement
from braidmq.trust.invitation import Invitation, check_invitations

OVERUSE: Final = 4
"""How many times the uses of a token are kept: as many parts of a net may have admitted all of them. More can only come
from a broker that lies and has the token, and must not fill the memory of the others."""

ROWS_MAX: Final = 256
"""Rows of one `merge`, each of which may take a signature check: some 20 ms, for which no loop may stand longer."""

MADE_S_OFF_MAX: Final = 900
"""How long before its admission an enrolment may have been made, by the broker's clock. The older of two that share a
name wins, so whoever could name any time could take the name of an older member that this broker has not heard of."""

SEEN_SHARE: Final = 8
"""A member is noted as seen when this part of the time for which it may be gone has passed, and no oftener: others are
told of it."""

HISTORY_SLACK: Final = 64
"""Changes that are listed although there were newer ones of the same members, beside as many as there are members."""

SEEN_S: Final = 3_600
"""How often a member is noted as seen that may be gone for ever."""


class Outcome(StrEnum):
    """What becomes of an enrolment that a token's holder hands in."""

    NEW = "new"
    """It is admitted, and counts as a use."""
    KNOWN = "known"
    """It was admitted before: the same key, name and token."""
    USED_UP = "used up"
    """The token has made as many members as it may: it was used too often, or by somebody else."""
    EXPIRED = "expired"
    """The token has ended, by this broker's clock."""
    STALE = "stale"
    """It was made more than `MADE_S_OFF_MAX` seconds ago, by this broker's clock: one of both clocks is wrong."""
    WRONG_NAME = "wrong name"
    """The token is not for this name."""
    NAME_TAKEN = "name taken"
    """A member has this name."""
    KEY_TAKEN = "key taken"
    """A member or a token has this key, or had it until it was revoked."""
    NO_INVITATION = "no invitation"
    """The registry has no such invitation: it was withdrawn, or is not here yet."""


class Row(NamedTuple):
    """An enrolment as brokers tell each other of it: its blob, and when it was seen last, in Unix seconds."""

    blob: bytes
    seen_at: int


class Admission(NamedTuple):
    """What became of an enrolment; the member, if it is one now."""

    outcome: Outcome
    enrolment: Enrolment | None


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge has brought.

    Attributes:
        changed: principals to judge anew: they became members, are none any more, or are by another enrolment.
        overused: the invitations that have more members now than they allow, and more than before: tell people.
        clashes: names that a further key claims: only one of them is a member. Tell people.
        refused: how many rows were no enrolments, or broke a rule: the broker that told them lies.
        strange: how many rows rely on invitations that are not in the registry here.
    """

    changed: frozenset[str]
    overused: tuple[Invitation, ...] = ()
    clashes: tuple[str, ...] = ()
    refused: int = 0
    strange: int = 0


class _Pool:
    """The enrolments of one invitation.

    What is beyond the limit is told by key and name alone, as these never change: what is dropped for them would be
    dropped whatever else was known of it.
    """

    __slots__ = ("invitation", "order", "records")

    def __init__(self, invitation: Invitation) -> None:
        self.invitation = invitation
        self.records: dict[tuple[bytes, str], Record] = {}
        self.order: list[tuple[bytes, str]] = []

    def __len__(self) -> int:
        return len(self.order)

    def add(self, record: Record) -> None:
        place = record.enrolment.key, record.enrolment.name
        self.records[place] = record
        insort(self.order, place)

    def remove(self, record: Record) -> None:
        place = record.enrolment.key, record.enrolment.name
        del self.records[place], self.order[bisect_left(self.order, place)]


class Enrolments:
    """The enrolments that a broker knows, and who is a member by them; a `members.Directory`.

    `use` comes first, and whenever there is a newer registry. What has changed is told to others by `rows_since`. All
    times are Unix seconds by this broker's clock. A wrong one lets a token work too long or not long enough, and drops
    members early or late, here only: nothing is lost of the set, and who was dropped early is back with the right time.

    Attributes:
        revision: grows with each change of a row, from 0.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._pools: dict[int, _Pool] = {}
        self._blobs: dict[bytes, Record] = {}
        self._claimants = Claimants()
        self._records: dict[Record, None] = {}
        self._history: list[tuple[int, Record]] = []  # what changed at which revision; but the newest one counts
        self._names: Container[str] = ()
        self._keys: Container[bytes] = ()
        self._tokens: dict[str, Invitation] = {}

    def __len__(self) -> int:
        """How many enrolments are kept, of members and of those who were."""
        return len(self._blobs)

    def use(
        self, invitations: Iterable[Invitation], names: Container[str], keys: Container[bytes], now: float
    ) -> frozenset[str]:
        """Judge by a newer registry; return the principals to judge anew, as in `Merged`.

        Enrolments of invitations that are gone are dropped. On other terms of the same token they are kept, but for
        those that the new terms do not allow. What others have told of invitations that were not known here is not
        kept: ask them for all they have.

        Args:
            invitations: those of the registry.
            names: of its members.
            keys: CURVE keys of its members, and those that were revoked.
            now: the time.

        Raises:
            ConfigError: the invitations cannot stand side by side; nothing has changed.
        """
        wanted = {each.serial: each for each in check_invitations(invitations)}
        self._names, self._keys = names, keys
        self._tokens = {each.curve_key.hex(): each for each in wanted.values()}
        for serial, pool in list(self._pools.items()):
            invitation = wanted.get(serial)
            if invitation != pool.invitation:
                del self._pools[serial]
                records = [pool.records[place] for place in reversed(pool.order)]
                for record in records:
                    self._forget(record)
                if invitation is not None and invitation.key == pool.invitation.key:
                    self._pools[serial] = self._on_other_terms(records, invitation)
        for serial, invitation in wanted.items():
            self._pools.setdefault(serial, _Pool(invitation))
        self._judge_all(now)
        return self._claimants.take_changed()

    def admit(self, blob: bytes, now: float) -> Admission:
        """Handle an enrolment that the holder of a token has handed in.

        Raises:
            ProtocolError: `blob` was not signed with the token of the invitation that it names, or breaks a rule.
        """
        pool = self._pools.get(enrolments.serial_of(blob))
        if pool is None:
            return Admission(Outcome.NO_INVITATION, None)
        statement = enrolments.read(blob, pool.invitation)
        name, key = statement.name, statement.key
        if not pool.invitation.covers(name):
            return Admission(Outcome.WRONG_NAME, None)
        if key in self._keys or key.hex() in self._tokens:
            return Admission(Outcome.KEY_TAKEN, None)
        if name in self._names:
            return Admission(Outcome.NAME_TAKEN, None)
        known = pool.records.get((key, name))
        if known is not None and self._claimants.is_member(known):
            self._see(known, int(now))
            return Admission(Outcome.KNOWN, known.enrolment)
        refusal = self._refusal(pool, known, statement.made_at, int(now))
        if refusal is None and self._claimants.first_named(name) not in (None, known):
            refusal = Outcome.NAME_TAKEN
        if refusal is None and self._claimants.first_with(key) not in (None, known):
            refusal = Outcome.KEY_TAKEN
        if refusal is not None:
            return Admission(refusal, None)
        if known is None:
            known = Record(enrolments.enrol(statement, blob, pool.invitation), int(now))
            self._add(pool, known)
            outcome = Outcome.NEW
        else:
            self._see(known, int(now))
            outcome = Outcome.KNOWN
        self._claimants.take_changed()
        return Admission(outcome, known.enrolment)

    def merge(self, rows: Iterable[tuple[bytes, int]], now: float) -> Merged:
        """Handle up to `ROWS_MAX` rows that another broker tells, or that this one has kept.

        Raises:
            ProtocolError: there are more of them; nothing has changed.
        """
        rows = list(rows)
        if len(rows) > ROWS_MAX:
            raise ProtocolError(f"{len(rows)} enrolments at a time: {ROWS_MAX} are allowed")
        used = {serial: self.used(serial) for serial in self._pools}
        clashes: dict[str, None] = {}
        refused = strange = 0
        for blob, seen_at in rows:
            try:
                if not 0 <= seen_at <= TIME_MAX_S:
                    raise ProtocolError("nobody was seen at such a time")  # noqa: TRY301 - told as what verify finds
                record = self._blobs.get(blob)
                if record is not None:
                    self._see(record, seen_at, now)
                    continue
                pool = self._pools.get(enrolments.serial_of(blob))
                if pool is None:
                    strange += 1
                    continue
                enrolment = enrolments.verify(blob, pool.invitation)
            except ProtocolError:
                refused += 1
                continue
            record = self._merge_one(pool, enrolment, seen_at, now)
            if record is not None and self._claimants.is_contested(record):
                clashes[enrolment.name] = None
        overused = tuple(
            pool.invitation
            for serial, pool in self._pools.items()
            if len(pool) > max(pool.invitation.uses, used[serial])
        )
        return Merged(self._claimants.take_changed(), overused, tuple(clashes), refused, strange)

    def seen(self, principal: str, now: float) -> bool:
        """Note that a member is there; return whether others are to be told, which is so now and then."""
        found = self._claimants.by_principal.get(principal)
        if found is None:
            return False
        record = found[1]
        idle_s = record.enrolment.invitation.idle_s
        if now - record.seen_at < (idle_s / SEEN_SHARE if idle_s else SEEN_S):
            return False
        self._see(record, int(now))
        return True

    def expire(self, now: float) -> frozenset[str]:
        """Drop members who were gone for too long; return the principals to judge anew, as in `Merged`.

        It looks at all of them, some milliseconds for the most that there can be: once a minute is enough.
        """
        self._judge_all(now)
        return self._claimants.take_changed()

    def member(self, principal: str) -> Member | None:
        """Return the member with this key (lower-case hex), or None. One dict lookup."""
        found = self._claimants.by_principal.get(principal)
        return None if found is None else found[0]

    def enrolment(self, principal: str) -> Enrolment | None:
        """Return the enrolment of the member with this key (lower-case hex), or None."""
        found = self._claimants.by_principal.get(principal)
        return None if found is None else found[1].enrolment

    def named(self, name: str) -> Enrolment | None:
        """Return the enrolment of the member with this name, or None."""
        found = self._claimants.by_name.get(name)
        return None if found is None else found.enrolment

    def claims(self, name: str, most: int) -> list[tuple[Enrolment, int]]:
        """Return `most` of those who claim a name by keys of their own, and when each was seen; the best first.

        They need not be members. The keys of those whom the registry has, and those that were revoked, are left out.
        """
        found = (record for record in self._claimants.named(name) if record.enrolment.key not in self._keys)
        return [(record.enrolment, record.seen_at) for record in islice(found, most)]

    def members(self) -> list[tuple[Enrolment, int]]:
        """Return who is a member, and when each was seen last, by name."""
        return [(record.enrolment, record.seen_at) for _, record in sorted(self._claimants.by_name.items())]

    def some_members(self, most: int) -> tuple[list[tuple[Enrolment, int]], int]:
        """Return `most` of those who are members, and when each was seen last; and how many there are."""
        records = islice(self._claimants.by_name.values(), most)
        return [(record.enrolment, record.seen_at) for record in records], len(self._claimants.by_name)

    def token(self, principal: str) -> Invitation | None:
        """Return the invitation whose token's CURVE key this is (lower-case hex), or None.

        Who comes with it is no member, and may do nothing but hand in enrolments.
        """
        return self._tokens.get(principal)

    def invitation(self, serial: int) -> Invitation | None:
        """Return the invitation of the registry with this serial, or None."""
        pool = self._pools.get(serial)
        return None if pool is None else pool.invitation

    def used(self, serial: int) -> int:
        """Return how many members a token has made, those that are gone included."""
        pool = self._pools.get(serial)
        return 0 if pool is None else len(pool)

    def rows_since(self, revision: int, most: int = ROWS_MAX) -> tuple[list[Row], int]:
        """Return what has changed since a revision, oldest first, at most `most` rows, and the revision to go on from.

        From 0 on it is all that there is. There is no more when the revision that is returned is `revision` itself.
        """
        told: list[Record] = []
        for at in range(bisect_right(self._history, revision, key=lambda change: change[0]), len(self._history)):
            changed_at, record = self._history[at]
            if record.revision == changed_at:
                told.append(record)
                if len(told) == most:
                    break
        rows = [Row(record.enrolment.blob, record.seen_at) for record in told]
        return rows, told[-1].revision if told else revision

    # -- one record

    def _refusal(self, pool: _Pool, known: Record | None, made_at: int, now: int) -> Outcome | None:
        """Return why a token's holder gets nobody in with it any more, if so."""
        if now >= pool.invitation.not_after or made_at > pool.invitation.not_after:
            return Outcome.EXPIRED
        if known is not None:  # it counts already
            return None
        if made_at < now - MADE_S_OFF_MAX:
            return Outcome.STALE
        return Outcome.USED_UP if len(pool) >= pool.invitation.uses else None

    def _on_other_terms(self, records: Iterable[Record], invitation: Invitation) -> _Pool:
        pool = _Pool(invitation)
        for record in records:
            old = record.enrolment
            statement = Statement(net=old.net, invitation=old.serial, name=old.name, key=old.key, made_at=old.made_at)
            try:
                enrolment = enrolments.enrol(statement, old.blob, invitation)
            except ProtocolError:
                continue
            self._add(pool, Record(enrolment, record.seen_at))
            self._limit(pool)
        return pool

    def _limit(self, pool: _Pool) -> None:
        if len(pool) > OVERUSE * pool.invitation.uses:
            self._remove(pool, pool.records[pool.order[-1]])

    def _merge_one(self, pool: _Pool, enrolment: Enrolment, seen_at: int, now: float) -> Record | None:
        """Merge an enrolment whose blob is not known; return its record if it is new and kept."""
        record = pool.records.get((enrolment.key, enrolment.name))
        if record is None:
            record = Record(enrolment, seen_at)
            self._judge(record, now)
            self._add(pool, record)
            self._limit(pool)
            return record if record.enrolment.blob in self._blobs else None
        better = Record(enrolment, max(seen_at, record.seen_at))
        if rank(better) < rank(record):
            self._judge(better, now)
            self._remove(pool, record)
            self._add(pool, better)
        else:
            self._see(record, seen_at, now)
        return None

    def _add(self, pool: _Pool, record: Record) -> None:
        pool.add(record)
        self._blobs[record.enrolment.blob] = record
        self._touch(record)
        self._claimants.add(record)

    def _remove(self, pool: _Pool, record: Record) -> None:
        pool.remove(record)
        self._forget(record)

    def _forget(self, record: Record) -> None:
        del self._blobs[record.enrolment.blob]
        del self._records[record]
        record.revision = -1
        self._claimants.remove(record)

    def _see(self, record: Record, seen_at: int, now: float | None = None) -> None:
        """Note when a member was seen, by others if `now` is another time."""
        if seen_at > record.seen_at:
            record.seen_at = seen_at
            self._touch(record)
        if record.idle:
            self._judge(record, seen_at if now is None else now)
            self._claimants.settle(record)

    def _touch(self, record: Record) -> None:
        self.revision += 1
        record.revision = self.revision
        self._records[record] = None
        self._history.append((self.revision, record))
        if len(self._history) > 2 * len(self._records) + HISTORY_SLACK:
            self._history = [change for change in self._history if change[1].revision == change[0]]

    # -- who counts

    def _judge(self, record: Record, now: float) -> bool:
        """See whether a record counts; return whether that has changed."""
        each, counted = record.enrolment, record.counts
        record.idle = 0 < each.invitation.idle_s < now - record.seen_at
        record.shadowed = each.name in self._names or each.key in self._keys or each.principal in self._tokens
        return record.counts != counted

    def _judge_all(self, now: float) -> None:
        for record in [each for each in self._records if self._judge(each, now)]:
            self._claimants.settle(record)
