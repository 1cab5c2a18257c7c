"""What signed bytes make of invitations: what is taken keeps all rules, and can be issued again."""

from braidmq.members import check_name
from braidmq.trust.invitation import DOMAIN, Invitation, Terms, issue, verify
from braidmq.trust.signed import SIGNATURE_BYTES
from fuzz.signed import read
from tests.support.tokens import AUTHORITY, INVITATION, NET, SEED, invite, member_key

BYTES_MAX = 1_000

_KEY = member_key(1)


def one(data: bytes) -> Invitation | None:
    """Read a payload.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    found = read(data, DOMAIN, lambda blob: verify(blob, AUTHORITY, NET))
    if found is not None:
        terms = Terms(**{name: getattr(found, name) for name in Terms.__struct_fields__})
        again = verify(issue(terms, SEED).blob, AUTHORITY, NET)
        assert all(getattr(again, name) == getattr(terms, name) for name in Terms.__struct_fields__), "is another one"
        assert found.covers(check_name(found.name_for(_KEY))), "makes names that it is not for"
    return found


SEEDS = (
    INVITATION.blob[SIGNATURE_BYTES:],
    invite(name="one", prefix="", calls=(), serves=(), observe=False, idle_s=0).blob[SIGNATURE_BYTES:],
    b"",
    b"\x80",
)
"""Payloads to begin with."""
