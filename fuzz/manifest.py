"""What signed bytes make of manifests, with certificates that are signed as well, whatever is in them."""

import msgspec

from braidmq.trust import certificate
from braidmq.trust.manifest import DOMAIN, Manifest, issue, verify
from braidmq.trust.signed import SIGNATURE_BYTES, sign
from fuzz.signed import read
from tests.support.tokens import AUTHORITY, BROKER, MEMBER, NET, SEED

BYTES_MAX = 2_000


def one(data: bytes) -> Manifest | None:
    """Read a payload, in which each certificate has a signature that holds.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    found = read(_signed(data), DOMAIN, lambda blob: verify(blob, AUTHORITY, NET))
    if found is not None:
        again = issue(found.net, found.version, found.certificates, SEED)
        assert sorted(again.certificates, key=repr) == sorted(found.certificates, key=repr), "is another one"
        assert verify(again.blob, AUTHORITY, NET).version == found.version
        assert len({each.name for each in found.certificates}) == len(found.certificates), "names meet"
    return found


def _signed(data: bytes) -> bytes:
    """Return a payload with new signatures of its certificates; as it is if it has none."""
    try:
        payload = msgspec.msgpack.decode(data)
        listed = payload["certificates"]
        payload["certificates"] = [sign(certificate.DOMAIN, each[SIGNATURE_BYTES:], SEED) for each in listed]
        return msgspec.msgpack.encode(payload)
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError, RecursionError):
        return data


SEEDS = (
    *(issue(NET, 9, some, SEED).blob[SIGNATURE_BYTES:] for some in ((MEMBER, BROKER), (BROKER,), ())),
    msgspec.msgpack.encode({"net": NET, "version": 1, "certificates": [MEMBER.blob, MEMBER.blob]}),
    b"",
    b"\x80",
)
"""Payloads to begin with, one of them with a member that is there twice."""
