"""What nobody but this node can foresee: the ids of its requests, and what else is made of its secret.

A broker that could guess an id would hand a worker a request of its own under it before the true one comes. So ids must
not come from a generator whose other outputs a broker gets to see, as the choice of paths shows those of
`random.Random`. Source: RFC 7693 (BLAKE2), section 2.9, keyed hashing.
"""

from hashlib import blake2b
from typing import Final

SECRET_BYTES: Final = 32
"""Length of the secret that a node is given at its start, and tells nobody."""

ID_BYTES: Final = 16

_FIRST: Final = [bytes((byte & 0x7F,)) for byte in range(256)]


class Ids:
    """The ids of a node's requests: parts of keyed hashes of a counter, with the first bit clear."""

    __slots__ = ("_number", "_ready", "_secret")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._number = 0
        self._ready: list[bytes] = []

    def next(self) -> bytes:
        """Return one that was not there before."""
        if not self._ready:
            self._number += 1
            hashed = blake2b(self._number.to_bytes(8), key=self._secret, person=b"id").digest()
            for at in range(0, len(hashed), ID_BYTES):
                self._ready.append(_FIRST[hashed[at]] + hashed[at + 1 : at + ID_BYTES])
        return self._ready.pop()


def is_request_id(value: bytes) -> bool:
    """Whether some bytes can be the id of a request."""
    return len(value) == ID_BYTES and value[0] < 0x80


def derived(secret: bytes, purpose: bytes, size: int) -> bytes:
    """Return bytes that follow from a secret for one purpose, and tell nothing of it or of those for another one."""
    return blake2b(key=secret, digest_size=size, person=purpose).digest()
