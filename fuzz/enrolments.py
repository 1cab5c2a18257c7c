"""What brokers make of enrolments that they are told, in any order, while registries and time go on.

Names and keys stay unique whatever happens, no count goes down, and brokers that have told each other all know the
same.
"""

import itertools

from braidmq.trust.enrolments import Enrolments, Outcome
from fuzz.zmtp import Doings
from tests.support.tokens import NOW, OTHER_TOKEN, TOKEN, enrol, invite, member_key, other_invite

BYTES_MAX = 120

KNOWN = [
    enrol(key, keys, invitation=serial, name=f"replica-{name}", made_at=NOW + made)
    for (keys, serial), key, name, made in itertools.product(
        ((TOKEN, 7), (OTHER_TOKEN, 8)), (1, 2, 3), ("a", "b"), (-1, 0, 1)
    )
]
"""Enough for each name, key and time to meet each other, and for more than are kept."""

INVITATIONS = (invite(uses=1), other_invite(uses=1))

NAMES = ((), ("replica-a",), ("replica-b",), ("replica-a", "replica-b"))
KEYS = ((), (member_key(1),), (member_key(2),), (member_key(1), member_key(3)))


class Broker:
    """A broker, and what must hold of it."""

    def __init__(self) -> None:
        self.enrolments = Enrolments()
        self.enrolments.use(INVITATIONS, (), (), NOW)
        self.members: set[str] = set()
        self.uses = 0

    def do(self, doings: Doings, now: int) -> None:
        """Do the next thing."""
        what = doings.number()
        kind, chosen = what % 4, what >> 2
        used, more = self.uses, 0
        changed: frozenset[str] = frozenset()
        if kind == 0:
            row = KNOWN[chosen % len(KNOWN)], NOW + 8 * doings.number()
            changed = self.enrolments.merge([row], now).changed
        elif kind == 1:
            outcome, found = self.enrolments.admit(KNOWN[chosen % len(KNOWN)], now)
            assert (found is not None) == (outcome in (Outcome.NEW, Outcome.KNOWN))
            changed = frozenset((found.principal,)) if found else changed
            assert found is None or self.enrolments.enrolment(found.principal) is found, "is admitted, and no member"
            more = outcome is Outcome.NEW
        elif kind == 2:
            changed = self.enrolments.use(INVITATIONS, NAMES[chosen % 4], KEYS[chosen // 4 % 4], now)
        else:
            changed = self.enrolments.expire(now)
        self.check(changed)
        assert self.uses >= used, "forgets a use"
        assert kind != 1 or self.uses == used + more, "counts wrongly"

    def check(self, changed: frozenset[str]) -> None:
        """See that all ways to look somebody up agree, and that changes were told."""
        enrolments = self.enrolments
        found = [each for each, _ in enrolments.members()]
        members = {each.principal for each in found}
        assert len(members) == len({each.name for each in found}) == len(found), "two share a name or a key"
        for each in found:
            assert enrolments.enrolment(each.principal) is enrolments.named(each.name) is each, "is known by halves"
        assert members ^ self.members <= changed, "changes in silence"
        self.members = members
        uses = [enrolments.used(serial) for serial in (7, 8)]
        assert max(uses) <= 4, "keeps too much"
        self.uses = sum(uses)

    def tell(self, other: "Broker", now: int) -> None:
        """Tell another broker all that this one knows."""
        rows, _ = self.enrolments.rows_since(0)
        other.check(other.enrolments.merge(rows, now).changed)

    def state(self) -> tuple[object, ...]:
        """Return all that others could know."""
        return sorted(self.enrolments.rows_since(0)[0]), self.enrolments.members()


def one(data: bytes) -> tuple[Broker, Broker]:
    """Let two brokers do what the bytes say, and then tell each other.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    doings = Doings(data)
    now = NOW
    brokers = Broker(), Broker()
    while doings:
        what = doings.number()
        now += what >> 1
        brokers[what & 1].do(doings, now)
    for broker in brokers:
        broker.check(broker.enrolments.use(INVITATIONS, (), (), now))
    brokers[0].tell(brokers[1], now)
    brokers[1].tell(brokers[0], now)
    assert brokers[0].state() == brokers[1].state(), "do not agree"
    return brokers


SEEDS = (
    bytes((0, 1, 1, 5, 0, 9, 1, 13, 0, 3)),
    bytes((0, 0, 0, 0, 4, 1, 1, 8, 2, 0, 12, 3, 255, 3, 0, 2, 1, 6, 0, 2)),
    bytes((255, 1, 255, 5, 255, 3, 255, 3, 0, 1, 1, 29)),
)
"""Doings to begin with: enrolments, registries, and time that passes."""
