"""The keys of a token. All come from its 32-byte seed, each under a domain of its own: none tells of another."""

import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final, Self

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from braidmq.errors import ConfigError
from braidmq.trust.signed import KEY_BYTES

SIGNING_DOMAIN: Final = b"BRAID/1 token signing key\0"
CURVE_DOMAIN: Final = b"BRAID/1 token CURVE key\0"


def new_seed() -> bytes:
    """Return the seed of a new token, 32 random bytes: a secret."""
    return secrets.token_bytes(KEY_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKeys:
    """What the holder of a token has. Secrets are kept out of `repr`.

    Attributes:
        signing_seed: signs enrolments, 32 bytes: a secret.
        key: the Ed25519 public key that they are verified with, 32 bytes.
        curve_secret_key: the CURVE key with which its holder comes to brokers, 32 bytes: a secret.
        curve_key: the public key of that, 32 bytes.
    """

    signing_seed: bytes = field(repr=False)
    key: bytes
    curve_secret_key: bytes = field(repr=False)
    curve_key: bytes

    @classmethod
    def of(cls, seed: bytes) -> Self:
        """Return the keys of the token with this seed, by HMAC-SHA-256 of each domain.

        Raises:
            ConfigError: it is not 32 bytes long.
        """
        if len(seed) != KEY_BYTES:
            raise ConfigError(f"the seed of a token has {KEY_BYTES} bytes, not {len(seed)}")
        signing_seed = hmac.digest(seed, SIGNING_DOMAIN, "sha256")
        curve_secret_key = hmac.digest(seed, CURVE_DOMAIN, "sha256")
        return cls(
            signing_seed=signing_seed,
            key=bytes(SigningKey(signing_seed).verify_key),
            curve_secret_key=curve_secret_key,
            curve_key=bytes(PrivateKey(curve_secret_key).public_key),
        )
