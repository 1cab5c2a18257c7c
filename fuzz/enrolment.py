"""What bytes that a token's holder has signed make of enrolments: nobody who is not invited gets in."""

from braidmq.members import Role
from braidmq.trust.enrolment import DOMAIN, Enrolment, serial_of, verify
from braidmq.trust.signed import SIGNATURE_BYTES
from fuzz.signed import read
from tests.support.tokens import INVITATION, TOKEN, enrol

BYTES_MAX = 500


def one(data: bytes) -> Enrolment | None:
    """Read a payload.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    found = read(data, DOMAIN, lambda blob: verify(blob, INVITATION), TOKEN.signing_seed)
    if found is not None:
        assert serial_of(found.blob) == INVITATION.serial
        assert INVITATION.covers(found.name), "has a name that it is not invited by"
        assert (found.calls, found.serves) == (INVITATION.calls, INVITATION.serves), "has other rights"
        assert (found.role, found.endpoints, found.net) == (Role.NODE, (), INVITATION.net), "is something else"
        assert 0 < found.made_at <= INVITATION.not_after, "was made too late"
        assert found.key != INVITATION.curve_key, "is the token itself"
    return found


SEEDS = (enrol(1)[SIGNATURE_BYTES:], enrol(2, name="other")[SIGNATURE_BYTES:], b"", b"\x80")
"""Payloads to begin with."""
