import hashlib
import hmac

import pytest

from braidmq.bridges.http.core.callers import NOBODY, Caller, Callers, Entry
from braidmq.bridges.http.core.fields import Fields
from braidmq.bridges.http.core.messages import Head
from braidmq.bridges.http.core.problems import Refused

SHOP = Caller("shop", "/etc/shop.join")
PORTAL = Caller("portal")
ENTRIES = [
    Entry(SHOP, digest=hashlib.sha256(b"shop-token").digest()),
    Entry(PORTAL, certificate="spiffe://example.org/portal"),
]


def identify(callers, *fields, names=()):
    return callers.identify(Head("POST", b"/services/x", list(fields), names=names), Fields(fields))


def refused(callers, *fields, names=()):
    with pytest.raises(Refused) as told:
        identify(callers, *fields, names=names)
    return told.value


def bearer(token):
    return (b"authorization", b"Bearer " + token)


def test_a_token_tells_who_calls():
    assert identify(Callers(ENTRIES), bearer(b"shop-token")) == SHOP
    assert identify(Callers(ENTRIES), (b"authorization", b"bEARER  shop-token ")) == SHOP


def test_a_name_of_the_certificate_tells_who_calls():
    assert identify(Callers(ENTRIES), names=("other.example", "spiffe://example.org/portal")) == PORTAL


def test_a_wrong_token_is_refused_even_with_a_right_certificate():
    told = refused(Callers(ENTRIES, anonymous=True), bearer(b"guess"), names=("spiffe://example.org/portal",))
    assert told.answer.status == 401
    assert told.answer.fields == ((b"www-authenticate", b'Bearer realm="braidmq", error="invalid_token"'),)
    assert b"guess" not in told.answer.body


@pytest.mark.parametrize("said", [b"", b"Basic eDp5", b"Bearer", b"Bearer ", b"Bearer a b", b"Bearer " + b"x" * 4097])
def test_what_is_no_token_is_refused(said):
    assert refused(Callers(ENTRIES), (b"authorization", said)).answer.status == 401


def test_nobody_calls_without_a_proof_where_one_is_needed():
    told = refused(Callers(ENTRIES))
    assert told.answer.status == 401
    assert told.answer.fields == ((b"www-authenticate", b'Bearer realm="braidmq"'),)
    assert refused(Callers(ENTRIES), names=("other.example",)).answer.status == 401


def test_every_token_is_compared_in_constant_time(monkeypatch):
    compared = []

    def compare(left, right):
        compared.append((len(left), len(right)))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    identify(Callers(ENTRIES), bearer(b"shop-token"))
    refused(Callers(ENTRIES), bearer(b"guess"))
    assert compared == [(32, 32), (32, 32)]


def test_who_has_no_proof_is_nobody():
    callers = Callers(anonymous=True)
    for host in (b"localhost", b"localhost:8080", b"127.0.0.1:1", b"[::1]:8080", b"LOCALHOST"):
        assert identify(callers, (b"host", host)) == NOBODY


def test_a_page_of_others_does_not_call_for_who_looks_at_it():
    callers = Callers(ENTRIES, anonymous=True)
    assert refused(callers, (b"origin", b"http://evil.example")).answer.status == 403
    assert refused(callers, (b"host", b"evil.example:8080")).answer.status == 403
    assert refused(callers, (b"host", b"localhost.evil.example")).answer.status == 403
    assert identify(callers, (b"origin", b"http://evil.example"), bearer(b"shop-token")) == SHOP
    assert identify(Callers(anonymous=True, any_host=True), (b"host", b"gateway.example")) == NOBODY


def test_the_handler_is_told_of_callers_without_a_member_of_their_own():
    assert PORTAL.via == "http:portal"
    assert SHOP.via is None
    assert NOBODY.via is None
    assert Callers(ENTRIES).joins == {"/etc/shop.join"}
