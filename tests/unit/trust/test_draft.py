"""Any sequence of changes keeps the registry sound, and each version differs from every older one as it should."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from braidmq.errors import ConfigError
from braidmq.members import Role
from braidmq.trust import draft as drafts
from braidmq.trust import enrolment as enrolments
from braidmq.trust import manifest as manifests
from braidmq.trust.certificate import KEYS_MAX
from braidmq.trust.draft import CLOCK_S_MIN, DAY_S, Draft
from braidmq.trust.enrolment import Enrolment, Statement
from braidmq.trust.invitation import Invitation, Terms
from braidmq.trust.manifest import Manifest
from braidmq.trust.token_keys import TokenKeys
from tests.support.examples import TIMES

NET = "0123456789abcdef"
SEED = b"s" * 32
AUTHORITY = bytes(SigningKey(SEED).verify_key)
NOW_S = CLOCK_S_MIN + 1_000
KEPT = 3
"""Removals that the registries of the long histories here keep."""

NAMES = st.sampled_from(("a", "b", "c", "d", "e"))
PORTS = st.integers(1, 4)
SOMEBODY = st.integers(0, 7)

OLD_KEYS = st.just(999) | st.integers(0, 9)
"""Which key: a new one unless so many were made already."""


def key(number: int) -> bytes:
    return bytes(PrivateKey(number.to_bytes(32, "big")).public_key)


def empty() -> Manifest:
    return manifests.issue(NET, 0, (), SEED)


def drafted(old: Manifest, now_s: float = NOW_S) -> Draft:
    return Draft(old, SEED, now_s)


def with_members() -> Manifest:
    """Return a registry with a broker and a node, b and n."""
    draft = drafted(empty())
    draft.add("b", Role.BROKER, key(1), endpoints=("tcp://h:1",))
    draft.add("n", Role.NODE, key(2), calls=("x",))
    return draft.issue()


class Registries(RuleBasedStateMachine):
    """A net's authority at work."""

    @initialize()
    def begin(self) -> None:
        self.history = [empty(), with_members()]
        self.now_s = NOW_S
        self.keys = [key(1), key(2)]
        self.revoked: dict[bytes, str] = {}
        vars(drafts)["REMOVALS_MAX"] = KEPT

    def teardown(self) -> None:
        vars(drafts)["REMOVALS_MAX"] = manifests.REMOVALS_MAX

    @property
    def now(self) -> Manifest:
        return self.history[-1]

    def somebody(self, number: int) -> str:
        """Return the name of a member."""
        members = self.now.certificates
        return members[number % len(members)].name

    def some_key(self, number: int) -> bytes:
        """Return a new key, or one that somebody has or had."""
        if number < len(self.keys):
            return self.keys[number]
        self.keys.append(key(len(self.keys) + 1))
        return self.keys[-1]

    def make(self, change) -> bool:
        """Make a change; return whether it was allowed."""
        draft = drafted(self.now, self.now_s)
        try:
            change(draft)
            new = draft.issue()
        except ConfigError:
            return False
        if new is not self.now:
            self.history.append(new)
        return True

    @rule(name=NAMES, old_key=OLD_KEYS, broker=st.booleans(), port=PORTS, days=st.integers(0, 2))
    def add(self, name, old_key, broker, port, days):
        known = {each.name for each in self.now.certificates}
        public_key = self.some_key(old_key)
        ends = int(self.now_s) + days * DAY_S if days else 0
        made = self.make(
            lambda draft: (
                draft.add(name, Role.BROKER, public_key, endpoints=(f"tcp://h:{port}",), not_after=ends)
                if broker
                else draft.add(name, Role.NODE, public_key, calls=("x",), publish=True, not_after=ends)
            )
        )
        assert not (made and (name in known or public_key in self.revoked))

    @precondition(lambda self: self.now.certificates)
    @rule(who=SOMEBODY, other=NAMES)
    def rename(self, who, other):
        self.make(lambda draft: draft.rename(self.somebody(who), other))

    @precondition(lambda self: self.now.certificates)
    @rule(who=st.sets(SOMEBODY, min_size=1, max_size=2))
    def remove(self, who):
        names = {self.somebody(each) for each in who}
        assert self.make(lambda draft: [draft.remove(name) for name in sorted(names)])
        assert names.isdisjoint(each.name for each in self.now.certificates)

    @precondition(lambda self: self.now.certificates)
    @rule(who=SOMEBODY)
    def revoke(self, who):
        name, before = self.somebody(who), {each.name: each for each in self.now.certificates}
        assert self.make(lambda draft: draft.revoke(name))
        self.revoked |= dict.fromkeys(before[name].keys, name)

    @precondition(lambda self: self.now.certificates)
    @rule(who=SOMEBODY, old_key=OLD_KEYS, overlap_s=st.integers(1, 2 * DAY_S))
    def rotate(self, who, old_key, overlap_s):
        public_key, name = self.some_key(old_key), self.somebody(who)
        self.make(lambda draft: draft.rotate(name, public_key, int(self.now_s) + overlap_s))

    @precondition(lambda self: self.now.certificates)
    @rule(who=SOMEBODY)
    def finish(self, who):
        self.make(lambda draft: draft.finish(self.somebody(who)))

    @precondition(lambda self: self.now.certificates)
    @rule(who=SOMEBODY, calls=st.sampled_from(((), ("x",), ("y", "y"))))
    def change_calls(self, who, calls):
        self.make(lambda draft: draft.change(self.somebody(who), calls=calls))

    @precondition(lambda self: self.now.certificates)
    @rule(who=SOMEBODY, port=PORTS)
    def change_endpoint(self, who, port):
        self.make(lambda draft: draft.change(self.somebody(who), endpoints=(f"tcp://h:{port}",)))

    @precondition(lambda self: self.now.certificates)
    @rule(who=SOMEBODY, days=st.integers(1, 9))
    def renew(self, who, days):
        self.make(lambda draft: draft.renew(self.somebody(who), int(self.now_s) + days * DAY_S))

    @rule(hours=st.integers(1, 60))
    def wait(self, hours):
        self.now_s += hours * 3600.0

    @invariant()
    def names_keys_and_endpoints_are_unique(self) -> None:
        members = self.now.certificates
        keys = [each for member in members for each in member.keys]
        endpoints = [each for member in members for each in member.endpoints]
        assert len({each.name for each in members}) == len(members)
        assert len(set(keys)) == len(keys)
        assert len(set(endpoints)) == len(endpoints)
        assert all(1 <= len(each.keys) <= KEYS_MAX for each in members)

    @invariant()
    def what_was_revoked_is_certified_for_nobody(self) -> None:
        assert {each.key: each.name for each in self.now.extras.revoked} == self.revoked
        assert all(self.revoked.keys().isdisjoint(each.keys) for each in self.now.certificates)

    @invariant()
    def the_list_of_brokers_is_that_of_the_registry_since_they_changed_last(self) -> None:
        if self.now.version == 0:
            return
        listed = self.now.roster
        assert listed is not None
        assert listed.brokers == self.now.brokers
        since = self.now.version
        while since > 1 and self.history[since - 1].brokers == self.now.brokers:
            since -= 1
        assert listed.version == since

    @invariant()
    def each_older_one_and_the_difference_make_the_newest_one(self) -> None:
        assert [each.version for each in self.history] == list(range(len(self.history)))
        assert manifests.verify(self.now.blob, AUTHORITY, NET) == self.now
        for old in self.history[-5:]:
            difference = self.now.difference(old.version)
            if difference is None:
                assert old.version < self.now.extras.removals_since
                assert len(self.now.extras.removals) == KEPT
            else:
                assert manifests.verify(difference, AUTHORITY, NET, old) == self.now

    @invariant()
    def who_was_changed_has_the_version_as_serial(self) -> None:
        if len(self.history) > 1:
            before = set(self.history[-2].certificates)
            for each in self.now.certificates:
                assert (each.serial == self.now.version) == (each not in before)


Registries.TestCase.settings = settings(max_examples=20 * TIMES, stateful_step_count=30, deadline=None)
TestRegistries = Registries.TestCase


def test_a_change_that_changes_nothing_makes_no_new_version():
    old = with_members()
    draft = drafted(old)
    draft.change("n", calls=["x", "x"])
    assert draft.issue() is old


def test_rights_and_endpoints_are_replaced_and_the_rest_stays():
    old = with_members()
    draft = drafted(old)
    node = draft.change("n", serves=("y",), observe=True, publish=True, operate=True)
    assert (node.calls, node.serves, node.observe, node.publish, node.operate) == (("x",), ("y",), True, True, True)
    assert node.member.operate
    assert node.keys == old.certificates[1].keys
    assert draft.change("b", endpoints=("tcp://h:1", "tcp://h:2")).endpoints == ("tcp://h:1", "tcp://h:2")
    assert draft.change("n", calls=()).calls == ()
    with pytest.raises(ConfigError, match="must not call"):
        draft.change("b", calls=("x",))
    with pytest.raises(ConfigError, match="must neither observe nor publish nor operate"):
        draft.change("b", operate=True)
    with pytest.raises(ConfigError, match="must not have endpoints"):
        draft.change("n", endpoints=("tcp://h:9",))


def test_an_endpoint_of_another_broker_is_refused_and_one_that_was_given_up_is_not():
    draft = drafted(with_members())
    draft.add("c", Role.BROKER, key(3), endpoints=("tcp://h:3",))
    with pytest.raises(ConfigError, match="endpoint of broker 'b'"):
        draft.change("c", endpoints=("tcp://h:1",))
    draft.change("b", endpoints=("tcp://h:2",))
    assert draft.change("c", endpoints=("tcp://h:1",)).endpoints == ("tcp://h:1",)


def test_whoever_is_not_there_is_told():
    for change in (
        lambda draft: draft.change("x", calls=()),
        lambda draft: draft.rename("x", "y"),
        lambda draft: draft.remove("x"),
        lambda draft: draft.revoke("x"),
        lambda draft: draft.rotate("x", key(9), NOW_S + 1),
        lambda draft: draft.finish("x"),
        lambda draft: draft.renew("x", NOW_S + 1),
    ):
        with pytest.raises(ConfigError, match="nobody is registered as 'x'"):
            change(drafted(with_members()))


def test_a_name_or_key_that_is_taken_is_told():
    for name, public_key, said in (
        ("n", key(2), "with this very key already"),
        ("n", key(3), "'n' is registered already"),
        ("m", key(2), "is that of 'n'"),
        ("m", b"short", "32 bytes"),
        ("m", bytes(32), "nobody's"),
    ):
        with pytest.raises(ConfigError, match=said):
            drafted(with_members()).add(name, Role.NODE, public_key)
    with pytest.raises(ConfigError, match="'b' is registered already"):
        drafted(with_members()).rename("n", "b")
    with pytest.raises(ConfigError, match="is that of 'b'"):
        drafted(with_members()).rotate("n", key(1), NOW_S + 1)
    with pytest.raises(ConfigError, match="has this key already"):
        drafted(with_members()).rotate("n", key(2), NOW_S + 1)


def test_a_revoked_key_is_never_certified_again_and_the_name_may_be():
    draft = drafted(with_members())
    draft.revoke("n")
    again = drafted(draft.issue())
    with pytest.raises(ConfigError, match="was revoked when it was that of 'n'"):
        again.add("m", Role.NODE, key(2))
    with pytest.raises(ConfigError, match="was revoked"):
        again.rotate("b", key(2), NOW_S + 1)
    again.add("n", Role.NODE, key(3))
    assert [each.name for each in again.issue().certificates] == ["b", "n"]


def test_both_keys_of_a_member_are_revoked():
    draft = drafted(with_members())
    draft.rotate("n", key(3), NOW_S + 10)
    draft.revoke("n")
    assert {each.key for each in draft.issue().extras.revoked} == {key(2), key(3)}


def test_too_many_revoked_keys_are_told(monkeypatch):
    monkeypatch.setattr(drafts, "REVOKED_MAX", 1)
    draft = drafted(with_members())
    draft.revoke("n")
    with pytest.raises(ConfigError, match="no more can be"):
        draft.revoke("b")


def test_the_old_key_goes_when_it_is_finished_or_has_ended():
    draft = drafted(with_members())
    draft.rotate("n", key(3), NOW_S + 10)
    rotating = draft.issue()
    with pytest.raises(ConfigError, match="--finish` first"):
        drafted(rotating).rotate("n", key(4), NOW_S + 20)
    assert drafted(rotating).finish("n").keys == (key(3),)
    later = drafted(rotating, NOW_S + 10)
    assert later.rotate("n", key(4), NOW_S + 20).keys == (key(3), key(4))
    changed = drafted(rotating, NOW_S + 10).change("n", calls=())
    assert (changed.keys, changed.old_key_until) == ((key(3),), 0)
    with pytest.raises(ConfigError, match="nothing to finish"):
        drafted(with_members()).finish("n")


def test_what_ends_ends_in_the_future():
    for until in (NOW_S, NOW_S - 1, 10**12):
        with pytest.raises(ConfigError, match="in the future"):
            drafted(with_members()).add("m", Role.NODE, key(3), not_after=until)
        with pytest.raises(ConfigError, match="in the future"):
            drafted(with_members()).rotate("n", key(3), until)
    with pytest.raises(ConfigError, match="clock"):
        drafted(with_members(), 1_000.0).add("m", Role.NODE, key(3), not_after=NOW_S)
    assert drafted(with_members(), 1_000.0).add("m", Role.NODE, key(3)).not_after == 0


def test_what_ends_is_renewed_and_what_does_not_is_told():
    draft = drafted(with_members())
    draft.change("n", not_after=NOW_S + 10)
    old = draft.issue()
    assert drafted(old, NOW_S + 100).renew("n", NOW_S + 200).not_after == NOW_S + 200
    with pytest.raises(ConfigError, match="ends later"):
        drafted(old).renew("n", NOW_S + 9)
    with pytest.raises(ConfigError, match="never ends"):
        drafted(old).renew("b", NOW_S + 9)
    assert drafted(old).change("n", not_after=0).not_after == 0


def test_a_registry_of_before_gets_its_list_of_brokers_with_the_next_change():
    full = with_members()
    before = manifests.issue(NET, 7, full.certificates, SEED)
    draft = drafted(before)
    draft.change("n", calls=())
    after = draft.issue()
    assert after.roster is not None
    assert (after.version, after.roster.version, after.roster.brokers) == (8, 8, before.brokers)
    difference = after.difference(7)
    assert difference is not None
    assert manifests.verify(difference, AUTHORITY, NET, before) == after


def token(**changes: Any) -> Terms:
    """Return the terms of a token."""
    keys = TokenKeys.of(b"t" * 32)
    right: dict[str, Any] = {"net": NET, "serial": 1, "key": keys.key, "curve_key": keys.curve_key, "uses": 1}
    return Terms(**{**right, "not_after": int(NOW_S) + 60, "prefix": "replica-", **changes})


def test_invitations_stay_until_they_are_withdrawn():
    draft = drafted(manifests.issue(NET, 1, (), SEED))
    invited = draft.invite(token())
    assert invited.serial == draft.version == 2
    second = drafted(draft.issue())
    second.add("n", Role.NODE, key(1))
    kept = second.issue()
    assert kept.invited() == (invited,)
    third = drafted(kept)
    assert third.withdraw(2) == invited
    assert third.issue().invited() == ()


def test_an_invitation_that_cannot_be_is_refused():
    old = manifests.issue(NET, 1, (), SEED)
    draft = drafted(old)
    draft.add("n", Role.NODE, key(1))
    for wrong, why in (({"prefix": "", "name": "n"}, "registered already"), ({"not_after": 1}, "in the future")):
        with pytest.raises(ConfigError, match=why):
            draft.invite(token(**wrong))
    with pytest.raises(ConfigError, match="no token 7"):
        draft.withdraw(7)


def test_an_invitation_alone_is_a_change():
    draft = drafted(manifests.issue(NET, 1, (), SEED))
    draft.invite(token())
    assert draft.issue().version == 2


def enrolled(invited: Invitation, public_key: bytes) -> Enrolment:
    """Return a member that a token has made."""
    said = Statement(net=NET, invitation=invited.serial, name="replica-1", key=public_key, made_at=int(NOW_S))
    return enrolments.verify(enrolments.issue(said, TokenKeys.of(b"t" * 32).signing_seed), invited)


def with_token() -> tuple[Manifest, Invitation]:
    """Return a registry with a broker, a node and a token."""
    draft = drafted(with_members())
    invited = draft.invite(token())
    return draft.issue(), invited


def test_the_key_of_a_member_that_a_token_has_made_is_revoked_and_nobody_else_leaves():
    before, invited = with_token()
    draft = drafted(before)
    draft.revoke_enrolled(enrolled(invited, key(5)))
    after = draft.issue()
    assert after.version == before.version + 1
    assert [(each.version, each.key, each.name) for each in after.extras.revoked] == [
        (after.version, key(5), "replica-1")
    ]
    assert (after.certificates, after.invited()) == (before.certificates, before.invited())
    assert after.extras.removals == before.extras.removals
    difference = after.difference(before.version)
    assert difference is not None
    assert manifests.verify(difference, AUTHORITY, NET, before) == after
    again = drafted(after)
    again.revoke_enrolled(enrolled(invited, key(5)))
    assert again.issue() is after
    with pytest.raises(ConfigError, match="was revoked when it was that of 'replica-1'"):
        drafted(after).add("m", Role.NODE, key(5))


def test_no_key_is_revoked_that_is_no_enrolled_members():
    before, invited = with_token()
    for number, holder in ((1, "b"), (2, "n")):
        with pytest.raises(ConfigError, match=f"is that of '{holder}', who is registered"):
            drafted(before).revoke_enrolled(enrolled(invited, key(number)))
    other = drafted(before)
    keys = TokenKeys.of(b"o" * 32)
    other.invite(token(key=keys.key, curve_key=keys.curve_key))
    with pytest.raises(ConfigError, match="is that of a token"):
        other.revoke_enrolled(enrolled(invited, keys.curve_key))
    gone = drafted(before)
    gone.withdraw(invited.serial)
    with pytest.raises(ConfigError, match=f"token {invited.serial}, which has made 'replica-1' a member, is withdrawn"):
        gone.revoke_enrolled(enrolled(invited, key(5)))


def test_too_many_revoked_keys_of_enrolled_members_are_told(monkeypatch):
    monkeypatch.setattr(drafts, "REVOKED_MAX", 1)
    before, invited = with_token()
    draft = drafted(before)
    draft.revoke_enrolled(enrolled(invited, key(5)))
    draft.revoke_enrolled(enrolled(invited, key(5)))
    with pytest.raises(ConfigError, match="1 keys are revoked"):
        draft.revoke_enrolled(enrolled(invited, key(6)))
