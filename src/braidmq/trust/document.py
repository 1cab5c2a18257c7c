"""What the authority signs of one member or one token: a struct as a MessagePack map, behind its signature.

The signature covers the domain and exactly those bytes; nothing is ever encoded again. Unknown fields of a newer
version are skipped.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from braidmq.errors import ProtocolError
from braidmq.trust.signed import SIGNATURE_BYTES, open_signed, sign


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said in a document of any kind.

    Attributes:
        net: the net's id, 16 lower-case hex digits.
    """

    net: str


S = TypeVar("S", bound=Said)
D = TypeVar("D")


class Kind(Generic[S, D]):
    """One kind of document.

    Args:
        domain: what is signed before the payload; see `signed.sign`.
        name: what it is called, as in "a certificate".
        said: what it says.
        document: the same with a further field, `blob`: signature and payload, byte for byte as they were signed.
        bytes_max: how long it may be with its signature.
        check: raises ConfigError if what is said breaks the rules.
        shown: names a document of this kind, for the message that it is for another net.
    """

    def __init__(
        self,
        domain: bytes,
        name: str,
        said: type[S],
        document: Callable[..., D],
        *,
        bytes_max: int,
        check: Callable[[S], None],
        shown: Callable[[S], str],
    ) -> None:
        self._domain = domain
        self._name = name
        self._document = document
        self._bytes_max = bytes_max
        self._check = check
        self._shown = shown
        self._fields = said.__struct_fields__
        self._decoder = msgspec.msgpack.Decoder(said)

    def issue(self, said: S, seed: bytes) -> D:
        """Return the document that says this, signed with the authority's `seed` (32 bytes).

        Raises:
            ConfigError: it breaks the rules.
        """
        self._check(said)
        return self._made(said, sign(self._domain, msgspec.msgpack.encode(said), seed))

    def verify(self, blob: bytes, authority_key: bytes, net: str) -> D:
        """Return the document in `blob`, which may come from anyone.

        Args:
            blob: signature and payload.
            authority_key: the Ed25519 public key of the net's authority, 32 bytes.
            net: the id of the net that it must be for.

        Raises:
            ProtocolError: the authority has not signed `blob` as such a document for this net, or it breaks a rule.
        """
        self._check_length(blob)
        try:
            payload = open_signed(self._domain, blob, authority_key)
        except ProtocolError as error:
            raise ProtocolError(f"not {self._name}: {error}") from None
        return self._read(payload, blob, net)

    def covered(self, blob: bytes, net: str) -> D:
        """Return the document in `blob`, whose own signature is not looked at: another one of the authority covers it.

        Raises:
            ProtocolError: it is no such document, is for another net, or breaks a rule.
        """
        self._check_length(blob)
        return self._read(blob[SIGNATURE_BYTES:], blob, net)

    def _check_length(self, blob: bytes) -> None:
        if not SIGNATURE_BYTES < len(blob) <= self._bytes_max:
            raise ProtocolError(f"{self._name} cannot be {len(blob)} bytes long")

    def _read(self, payload: bytes, blob: bytes, net: str) -> D:
        try:
            said = self._decoder.decode(payload)
            self._check(said)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # a ConfigError is a ValueError
            raise ProtocolError(f"not {self._name}: {error}") from None
        if said.net != net:
            raise ProtocolError(f"{self._shown(said)} is for net {said.net}, not {net}")
        return self._made(said, blob)

    def _made(self, said: S, blob: bytes) -> D:
        return self._document(**{name: getattr(said, name) for name in self._fields}, blob=blob)
