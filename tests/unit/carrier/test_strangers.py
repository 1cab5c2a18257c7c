"""Those who are not let in: each is told as one of its kind, with what is known of it."""

import pytest

from braidmq.carrier.gate import Barred, NoMember, Throng, Unjudged
from braidmq.carrier.strangers import on_refusal, on_violation
from braidmq.core.broker.refusals import Refused
from braidmq.members import Standing
from braidmq.zmtp.violation import ForeignProtocol, LacksCurve, Refusal, SpeaksHttp, Violation, WrongKey, WrongServer

ADDRESS = "192.0.2.1"
KEY = "the key abc..."


@pytest.fixture
def told():
    return []


@pytest.fixture
def tell(told):
    return lambda *what: told.append(what)


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (NoMember(KEY, Standing.UNKNOWN), Refused.UNKNOWN),
        (NoMember(KEY, Standing.REMOVED), Refused.REMOVED),
        (NoMember(KEY, Standing.REVOKED), Refused.REVOKED),
        (NoMember(KEY, Standing.EXPIRED), Refused.EXPIRED),
        (Barred(KEY), Refused.BARRED),
        (Throng(KEY), Refused.THRONG),
        (Refusal("400", KEY), Refused.UNKNOWN),
    ],
)
def test_a_refused_key_is_of_its_kind(tell, told, refusal, kind):
    on_refusal(tell, ADDRESS, refusal)
    assert told == [(kind, KEY, ADDRESS, "", None)]


def test_the_error_by_which_a_key_could_not_be_judged_is_told_with_it(tell, told):
    error = RuntimeError("broken")
    on_refusal(tell, ADDRESS, Unjudged(KEY, error))
    assert told == [(Refused.UNJUDGED, KEY, ADDRESS, "RuntimeError: broken", error)]


@pytest.mark.parametrize(
    ("violation", "kind"),
    [
        (WrongServer("a box that does not open", "other-key"), Refused.OTHER_KEY),
        (SpeaksHttp("speaks HTTP"), Refused.HTTP),
        (LacksCurve("speaks ZMTP without CURVE"), Refused.NO_CURVE),
        (ForeignProtocol("does not speak ZMTP"), Refused.FOREIGN),
        (WrongKey("a vouch for other keys"), Refused.HANDSHAKE),
        (Violation("not an INITIATE"), Refused.HANDSHAKE),
    ],
)
def test_what_is_no_member_is_of_its_kind(tell, told, violation, kind):
    on_violation(tell, ADDRESS, violation)
    assert told == [(kind, "", ADDRESS, str(violation), None)]
