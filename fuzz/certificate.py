"""What signed bytes make of certificates: what is taken keeps all rules, and can be issued again."""

from braidmq.trust.certificate import DOMAIN, Certificate, Claims, issue, verify
from braidmq.trust.signed import SIGNATURE_BYTES
from fuzz.signed import read
from tests.support.tokens import AUTHORITY, BROKER, MEMBER, NET, SEED

BYTES_MAX = 1_000


def one(data: bytes) -> Certificate | None:
    """Read a payload.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    found = read(data, DOMAIN, lambda blob: verify(blob, AUTHORITY, NET))
    if found is not None:
        claims = Claims(**{name: getattr(found, name) for name in Claims.__struct_fields__})
        again = verify(issue(claims, SEED).blob, AUTHORITY, NET)
        assert all(getattr(again, name) == getattr(claims, name) for name in Claims.__struct_fields__), "is another one"
    return found


SEEDS = (MEMBER.blob[SIGNATURE_BYTES:], BROKER.blob[SIGNATURE_BYTES:], b"", b"\x80")
"""Payloads to begin with."""
