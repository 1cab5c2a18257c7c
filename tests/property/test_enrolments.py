"""Enrolments, however brokers tell each other of them, and whatever bytes they are told instead."""

import itertools

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from braidmq.errors import ConfigError, ProtocolError
from braidmq.trust import code_text, codes, enrolment, invitation
from braidmq.trust.enrolments import Enrolments, Outcome, Row
from braidmq.trust.signed import sign
from tests.support.tokens import (
    AUTHORITY,
    NET,
    NOW,
    OTHER_TOKEN,
    SEED,
    TERMS,
    TOKEN,
    enrol,
    invite,
    member_key,
    other_invite,
    statement,
)

SMALL, OTHER = invite(uses=1), other_invite(uses=1)

POOL = [
    enrol(key, keys, invitation=serial, name=f"replica-{name}", made_at=NOW + made)
    for (keys, serial), key, name, made in itertools.product(
        ((TOKEN, 7), (OTHER_TOKEN, 8)), (1, 2, 3), ("a", "b"), (-1, 0, 1)
    )
]
"""Enough for each name, key and time to meet each other, and for more than are kept."""

rows = st.lists(st.builds(Row, st.sampled_from(POOL), st.sampled_from((NOW - 801, NOW, NOW + 5))), max_size=14)
registries = st.tuples(st.sets(st.sampled_from(["replica-a", "replica-b"])), st.sets(st.sampled_from([member_key(1)])))


def merged(*told, registry=((), ())):
    enrolments = Enrolments()
    names, keys = registry
    enrolments.use((SMALL, OTHER), names, keys, NOW)
    for each in told:
        enrolments.merge(each, NOW)
        check(enrolments)
    return enrolments


def rows_of(enrolments):
    return enrolments.rows_since(0, 10_000)[0]


def state(enrolments):
    return set(rows_of(enrolments)), enrolments.members()


def check(enrolments):
    """See that names and keys are unique, and that all ways to look somebody up agree."""
    members = [each for each, _ in enrolments.members()]
    assert len({each.key for each in members}) == len({each.name for each in members}) == len(members)
    for each in members:
        assert enrolments.enrolment(each.principal) is enrolments.named(each.name) is each
        assert enrolments.member(each.principal) == each.member
    assert len(enrolments) == len(rows_of(enrolments)) == enrolments.used(7) + enrolments.used(8)
    assert enrolments.used(7) <= 4
    assert enrolments.used(8) <= 4


@given(rows, rows, registries)
def test_merging_is_commutative(some, others, registry):
    assert state(merged(some, others, registry=registry)) == state(merged(others, some, registry=registry))


@given(rows, rows, rows)
def test_merging_is_associative(some, others, more):
    together = rows_of(merged(others, more))
    assert state(merged(some, together)) == state(merged(rows_of(merged(some, others)), more))


@given(rows)
def test_merging_is_idempotent(some):
    enrolments = merged(some)
    before, revision = state(enrolments), enrolments.revision
    again = enrolments.merge(rows_of(enrolments), NOW)
    assert (state(enrolments), enrolments.revision, again.changed) == (before, revision, frozenset())


@given(rows, rows)
def test_merging_is_monotone(some, others):
    enrolments = merged(some)
    before = {serial: enrolments.used(serial) for serial in (7, 8)}
    seen = {(each.serial, each.key, each.name): at for each, at in enrolments.members()}
    enrolments.merge(others, NOW)
    assert all(enrolments.used(serial) >= count for serial, count in before.items())
    assert all(seen.get((each.serial, each.key, each.name), 0) <= at for each, at in enrolments.members())
    assert state(merged(rows_of(enrolments), some)) == state(enrolments)


@given(rows, registries, registries)
def test_what_the_registry_was_before_leaves_no_trace(some, before, after):
    enrolments = merged(some, registry=before)
    was = {each.principal for each, _ in enrolments.members()}
    names, keys = after
    changed = enrolments.use((SMALL, OTHER), names, keys, NOW)
    check(enrolments)
    assert state(enrolments) == state(merged(some, registry=after))
    assert was ^ {each.principal for each, _ in enrolments.members()} <= changed


@given(rows, st.lists(st.sampled_from(POOL), max_size=6), st.integers(NOW, NOW + 2000))
def test_whoever_is_admitted_is_a_member_and_nobody_else_is_put_out(some, blobs, now):
    enrolments = merged(some)
    enrolments.expire(now)
    for blob in blobs:
        before = {each.principal for each, _ in enrolments.members()}
        used = enrolments.used(7) + enrolments.used(8)
        outcome, found = enrolments.admit(blob, now)
        check(enrolments)
        after = {each.principal for each, _ in enrolments.members()}
        assert (found is not None) == (outcome in (Outcome.NEW, Outcome.KNOWN))
        assert enrolments.used(7) + enrolments.used(8) == used + (outcome is Outcome.NEW)
        assert after == (before | {found.principal} if found else before)


@given(st.lists(st.tuples(st.binary(max_size=200) | st.sampled_from(POOL), st.integers()), max_size=8))
def test_any_rows_are_borne(told):
    enrolments = merged()
    enrolments.merge(told, NOW)
    check(enrolments)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4)), max_size=12))
def test_whoever_is_told_in_parts_knows_the_same(doings):
    one = merged()
    two, revision = merged(), 0
    for number, most in doings:
        one.merge([Row(enrol(number, OTHER_TOKEN, invitation=8), NOW)], NOW)
        told, revision = one.rows_since(revision, most)
        two.merge(told, NOW)
    while True:
        told, further = one.rows_since(revision, 2)
        if further == revision:
            break
        revision = further
        two.merge(told, NOW)
    assert state(one) == state(two)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=4,
)


def odd(right):
    """Return documents that have other values in some of their fields, or are none."""
    fields = msgspec.to_builtins(right, builtin_types=[bytes])
    changes = st.fixed_dictionaries({}, optional=dict.fromkeys(type(right).__struct_fields__, anything))
    return st.binary(max_size=100) | (anything | changes.map(lambda some: {**fields, **some})).map(
        msgspec.msgpack.encode
    )


@given(odd(TERMS))
@example(b"\x91" * 20_000)
@example(b"\x81\xa3net\xa2\xff\xfe")
def test_any_invitation_raises_only_protocol_error(payload):
    with pytest.raises(ProtocolError):
        invitation.verify(payload, AUTHORITY, NET)
    try:
        found = invitation.verify(sign(invitation.DOMAIN, payload, SEED), AUTHORITY, NET)
    except ProtocolError:
        return
    assert found.net == NET


@given(odd(statement()))
@example(b"\x91" * 400)
@example(b"\x81\xa3net\xa2\xff\xfe")
def test_any_enrolment_raises_only_protocol_error(payload):
    for blob in (payload, sign(enrolment.DOMAIN, payload, TOKEN.signing_seed)):
        try:
            found = enrolment.verify(blob, SMALL)
        except ProtocolError:
            continue
        assert SMALL.covers(found.name)
        assert enrolment.serial_of(blob) == 7


CODES = (codes.Netcode, codes.RequestCode, codes.Token)


def decoded(kind, text):
    try:
        return kind.decode(text), ""
    except ConfigError as error:
        return None, str(error)


@given(
    st.text(max_size=60)
    | st.text("_1234567abcdefnoqrtuk", max_size=60).map("braid_".__add__)
    | st.tuples(st.sampled_from(code_text.Kind), st.binary(max_size=80) | anything.map(msgspec.msgpack.encode)).map(
        lambda parts: code_text.encode(*parts)
    )
)
def test_any_code_raises_only_config_error_of_one_line(text):
    code_text.kind_of(text)
    for kind in CODES:
        found, said = decoded(kind, text)
        assert said.isprintable()
        assert found is None or kind.decode(found.encode()) == found


@given(st.sampled_from(code_text.Kind), st.binary(max_size=300))
def test_whatever_is_in_a_code_comes_out_of_it(kind, content):
    text = code_text.encode(kind, content)
    assert code_text.decode(text, kind) == content
    assert code_text.kind_of(text) is kind
