"""Which 32 bytes may be somebody's CURVE (X25519) public key."""

from typing import Final

from braidmq.errors import ConfigError
from braidmq.trust.signed import KEY_BYTES

_PRIME: Final = 2**255 - 19

_LOW_ORDER: Final = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""Points that make the same secret with every key, so that everybody holds their secret key (RFC 7748, section 6.1)."""


def check_curve_key(key: bytes) -> bytes:
    """Return `key` if it is the one spelling of a CURVE public key, else raise ConfigError.

    X25519 ignores the highest bit, and takes numbers from the prime on for those that are smaller by it. Whoever holds
    a key could be known by another spelling of it where the first one is refused, so there is one only. libsodium makes
    no other.
    """
    if len(key) != KEY_BYTES:
        raise ConfigError(f"a CURVE key has {KEY_BYTES} bytes, not {len(key)}")
    number = int.from_bytes(key, "little")
    if number >= _PRIME or number in _LOW_ORDER:
        raise ConfigError("these bytes are nobody's CURVE public key")
    return key
