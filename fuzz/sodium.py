"""libsodium as fast as a fuzzer wants it: no target is about cryptography, and none of it may hide anything.

What is a function of its arguments is remembered: X25519, the keys of Ed25519, and boxes of a handshake, which are the
same in most executions. That is exact. The signature of a payload is new in each of them; it is a keyed hash instead
while `exact` is not set. Whoever verifies takes that hash, or what Ed25519 has signed before, and nothing else.

It is for a process that does nothing but fuzz: `replace` changes nacl.bindings for all that is in it.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from types import ModuleType
from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError

REMEMBERED: Final = 1 << 14
"""Results of one function that are remembered, at most."""

SIGNED_MAX: Final = 10_000
"""Signatures of Ed25519 that are remembered, at most: what targets begin with has far fewer."""

PURE: Final = (
    *("crypto_scalarmult_base", "crypto_box_beforenm", "crypto_box_easy_afternm", "crypto_box_open_easy_afternm"),
    "crypto_sign_seed_keypair",
)
"""What gives the same for the same arguments, or raises."""

_SIGNATURE_BYTES: Final = 64
_PUBLIC_AT: Final = 32


class Signatures:
    """Signatures by Ed25519, or by a keyed hash.

    Args:
        sign: crypto_sign.
        verify: crypto_sign_open.

    Attributes:
        exact: whether they are by Ed25519.
    """

    def __init__(self, sign: Callable[[bytes, bytes], bytes], verify: Callable[[bytes, bytes], bytes]) -> None:
        self.exact = True
        self._sign = sign
        self._verify = verify
        self._signed: set[tuple[bytes, bytes]] = set()

    def sign(self, message: bytes, secret: bytes) -> bytes:
        """Return a signature, and behind it what is signed, as crypto_sign does."""
        public = secret[_PUBLIC_AT:]
        if not self.exact:
            return _hash(message, public) + message
        signed = self._sign(message, secret)
        if len(self._signed) < SIGNED_MAX:
            self._signed.add((signed, public))
        return signed

    def verify(self, signed: bytes, public: bytes) -> bytes:
        """Return what is signed, as crypto_sign_open does; raises BadSignatureError."""
        if self.exact:
            return self._verify(signed, public)
        message = signed[_SIGNATURE_BYTES:]
        if signed[:_SIGNATURE_BYTES] != _hash(message, public) and (signed, public) not in self._signed:
            raise BadSignatureError("Signature was forged or corrupt")
        return message


def _hash(message: bytes, public: bytes) -> bytes:
    return blake2b(message, key=public, digest_size=_SIGNATURE_BYTES).digest()


def remember(module: ModuleType, name: str) -> None:
    """Let a function of a module that gives the same for the same arguments, or raises, remember what it gave."""
    setattr(module, name, lru_cache(REMEMBERED)(getattr(module, name)))


def replace() -> Signatures:
    """Let nacl.bindings be fast, for all that is imported from now on, and return its signatures."""
    for name in PURE:
        remember(bindings, name)

    def crypto_box(message: bytes, nonce: bytes, public: bytes, secret: bytes) -> bytes:
        box: bytes = bindings.crypto_box_easy_afternm(message, nonce, bindings.crypto_box_beforenm(public, secret))
        return box

    def crypto_box_open(box: bytes, nonce: bytes, public: bytes, secret: bytes) -> bytes:
        plain: bytes = bindings.crypto_box_open_easy_afternm(box, nonce, bindings.crypto_box_beforenm(public, secret))
        return plain

    signatures = Signatures(bindings.crypto_sign, bindings.crypto_sign_open)
    for name, function in (
        ("crypto_box", crypto_box),
        ("crypto_box_open", crypto_box_open),
        ("crypto_sign", signatures.sign),
        ("crypto_sign_open", signatures.verify),
    ):
        setattr(bindings, name, function)
    return signatures
