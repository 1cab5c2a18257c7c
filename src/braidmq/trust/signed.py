"""Ed25519 signatures over one kind of document each: what was signed as one kind never passes as another."""

from typing import Final

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from braidmq.errors import ProtocolError

SIGNATURE_BYTES: Final = 64
"""An Ed25519 signature (RFC 8032). A signed document is the signature followed by its payload."""

KEY_BYTES: Final = 32
"""An Ed25519 seed or public key, and likewise a CURVE (X25519) key."""


def sign(domain: bytes, payload: bytes, seed: bytes) -> bytes:
    """Return the signature of `payload` as a document of the kind `domain`, followed by `payload`.

    Args:
        domain: the kind of document. It ends in a zero byte, so that no domain is the beginning of another.
        payload: what is signed.
        seed: the authority's secret, `KEY_BYTES` long.
    """
    return SigningKey(seed).sign(domain + payload).signature + payload


def open_signed(domain: bytes, blob: bytes, authority_key: bytes) -> bytes:
    """Return the payload of `blob`.

    Raises:
        ProtocolError: `blob` was not signed as a document of the kind `domain` by the owner of `authority_key`.
    """
    payload = blob[SIGNATURE_BYTES:]
    try:
        VerifyKey(authority_key).verify(domain + payload, blob[:SIGNATURE_BYTES])
    except (CryptoError, ValueError):
        raise ProtocolError("the signature is not valid") from None
    return payload
