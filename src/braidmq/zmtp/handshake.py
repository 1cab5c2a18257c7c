"""CURVE's handshake, RFC 26/CurveZMQ: HELLO, WELCOME, INITIATE, READY; or ERROR.

    client                                      server
    HELLO: a new key C', a box of zeros    ->   opens with its own key: the client knows it
                                           <-   WELCOME: a new key S', and a cookie that holds C' and s'
    INITIATE: the cookie, its key C,       ->   opens the cookie, and what C has vouched for: C' and S
    what C has vouched for, metadata            asks who C is
                                           <-   READY: metadata; or ERROR

Each side sees a command of the other's only in its place, and once: after one that is wrong, or that is refused, there
is no next. What a client is and may is decided when its key is proven.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest
from struct import Struct
from typing import Final

from braidmq.zmtp.metadata import decode_metadata, encode_metadata
from braidmq.zmtp.sodium import KEY_BYTES, MAC_BYTES, agree, public_key, seal, unseal, wipe
from braidmq.zmtp.violation import OTHER_KEY, OTHER_NET, Refusal, Violation, WrongKey, WrongServer

Random = Callable[[int], bytes]
"""Returns so many random bytes that nobody can guess."""

Authorise = Callable[[bytes], str]
"""Returns who holds a public key of 32 bytes, in words of the caller's. Raises Refusal for who is not let in."""

_NUMBER: Final = Struct("!Q")
_VERSION: Final = b"\x01\x00"
_COOKIE_BYTES: Final = 96
_VOUCH_BYTES: Final = 96
_HELLO: Final = b"\x05HELLO"
_WELCOME: Final = b"\x07WELCOME"
_INITIATE: Final = b"\x08INITIATE"
READY: Final = b"\x05READY"
ERROR: Final = b"\x05ERROR"
_HELLO_BYTES: Final = 200
_WELCOME_BYTES: Final = 168
_ZEROS: Final = bytes(64)
_NOTHING: Final = b""
_STATUSES: Final = (b"300", b"400", b"500")
_STATUS_BYTES: Final = 3
_NET_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A long-term pair of keys, 32 bytes each."""

    public: bytes
    secret: bytes


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a handshake has led to.

    Attributes:
        key: that of the session's messages.
        sent: the number of the last nonce that was used to the peer.
        got: the number of the last one that came from it.
        principal: what the server's `Authorise` has said of the client; empty at the client.
        common: what both sides have told alike beside what ZMTP wants.
    """

    key: bytes
    sent: int
    got: int
    principal: str = ""
    common: dict[bytes, bytes] = field(default_factory=dict)


class ServerHandshake:
    """The side whose key is known beforehand. It keeps nothing of a client between WELCOME and INITIATE but a key.

    Args:
        pair: the server's keys.
        authorise: see Authorise. It is asked once the client has proven that it holds its key.
        random: see Random.
        properties: what the server tells in its metadata beside what ZMTP wants, by names that begin with x-.
        former: keys that still hold beside, while clients learn the new ones.
        net: which net it is of, for clients that expect another key; empty if they are not to be told.
    """

    __slots__ = (
        "_authorise", "_awaited", "_cookie_key", "_former", "_got", "_net", "_pair", "_properties", "_random", "agreed",
    )  # fmt: skip

    def __init__(
        self,
        pair: KeyPair,
        authorise: Authorise,
        random: Random,
        properties: dict[bytes, bytes] | None = None,
        former: KeyPair | None = None,
        *,
        net: bytes = b"",
    ) -> None:
        self.agreed: Agreed | None = None
        self._pair = pair
        self._former = former
        self._authorise = authorise
        self._random = random
        self._properties = properties or {}
        self._net = net
        self._awaited = _HELLO
        self._cookie_key = bytearray()
        self._got = 0

    def begin(self) -> bytes:
        """Return what to say first: nothing, the client does."""
        return b""

    def on_command(self, command: bytes) -> bytes:
        """Handle a command and return the answer to it; `agreed` is set with the last one.

        Raises:
            Violation: it is not the right one.
            Refusal: this client is not let in, which it is to be told: see `refusal`.
        """
        awaited, self._awaited = self._awaited, _NOTHING
        if awaited == _INITIATE:
            return self._on_initiate(command)
        if awaited != _HELLO:
            raise Violation("a command after the end of the handshake")
        welcome = self._on_hello(command)
        self._awaited = _INITIATE
        return welcome

    def _on_hello(self, hello: bytes) -> bytes:
        if len(hello) != _HELLO_BYTES or not hello.startswith(_HELLO):
            raise Violation("not a HELLO")
        if hello[6:8] != _VERSION:
            raise Violation("a HELLO of another version of CURVE")
        client_transient, number = hello[80:112], hello[112:120]
        key, opened = self._open_hello(client_transient, hello)
        if not compare_digest(opened, _ZEROS):
            raise Violation("a HELLO whose box is not of zeros")
        self._got = _NUMBER.unpack(number)[0]
        secret = self._random(KEY_BYTES)
        self._cookie_key = bytearray(self._random(KEY_BYTES))
        cookie_nonce, nonce = self._random(16), self._random(16)
        cookie = cookie_nonce + seal(client_transient + secret, b"COOKIE--" + cookie_nonce, bytes(self._cookie_key))
        return _WELCOME + nonce + seal(public_key(secret) + cookie, b"WELCOME-" + nonce, key)

    def _open_hello(self, client_transient: bytes, hello: bytes) -> tuple[bytes, bytes]:
        """Return what a HELLO is sealed with, and what is in its box: by the present keys, or by the former ones."""
        nonce = b"CurveZMQHELLO---" + hello[112:120]
        key = agree(client_transient, self._pair.secret)
        try:
            return key, unseal(hello[120:], nonce, key)
        except WrongKey as wrong:
            told = WrongServer(str(wrong), _told_of(self._net, client_transient))
        if self._former is None:
            raise told
        key = agree(client_transient, self._former.secret)
        try:
            opened = unseal(hello[120:], nonce, key)
        except WrongKey:
            raise told from None
        self._pair = self._former
        return key, opened

    def _on_initiate(self, initiate: bytes) -> bytes:
        box_at = len(_INITIATE) + _COOKIE_BYTES + _NUMBER.size
        if len(initiate) < box_at + MAC_BYTES + KEY_BYTES + _VOUCH_BYTES or not initiate.startswith(_INITIATE):
            raise Violation("not an INITIATE")
        cookie, number = initiate[9:105], initiate[105:113]
        cookie_key = bytes(self._cookie_key)
        wipe(self._cookie_key)
        opened = unseal(cookie[16:], b"COOKIE--" + cookie[:16], cookie_key)
        got: int = _NUMBER.unpack(number)[0]
        if got <= self._got:
            raise Violation("an INITIATE whose nonce is used")
        transient, secret = opened[:KEY_BYTES], opened[KEY_BYTES:]
        key = agree(transient, secret)
        plain = unseal(initiate[box_at:], b"CurveZMQINITIATE" + number, key)
        client, vouch = plain[:KEY_BYTES], plain[KEY_BYTES : KEY_BYTES + _VOUCH_BYTES]
        vouched = unseal(vouch[16:], b"VOUCH---" + vouch[:16], agree(client, secret))
        if not compare_digest(vouched, transient + self._pair.public):
            raise WrongKey("a vouch for other keys")
        common = _common(self._properties, b"DEALER", plain[KEY_BYTES + _VOUCH_BYTES :])
        principal = self._authorise(client)
        self.agreed = Agreed(key, 1, got, principal, common)
        metadata = encode_metadata({b"Socket-Type": b"ROUTER"} | self._properties)
        return READY + _NUMBER.pack(1) + seal(metadata, b"CurveZMQREADY---" + _NUMBER.pack(1), key)


class ClientHandshake:
    """The side that knows the other one's key.

    Args:
        pair: the client's keys.
        server: the public key of the server.
        random: see Random.
        identity: what the client tells as its routing id, for servers that want one; at most 255 bytes.
        properties: what the client tells in its metadata besides, by names that begin with x-.
        net: which net it expects the server to be of; empty if that is not known.
    """

    __slots__ = (
        "_awaited", "_identity", "_key", "_net", "_pair", "_properties", "_random", "_secret", "_server", "_transient",
        "agreed",
    )  # fmt: skip

    def __init__(
        self,
        pair: KeyPair,
        server: bytes,
        random: Random,
        identity: bytes = b"",
        properties: dict[bytes, bytes] | None = None,
        *,
        net: bytes = b"",
    ) -> None:
        self.agreed: Agreed | None = None
        self._identity = identity
        self._net = net
        self._pair = pair
        self._properties = properties or {}
        self._server = server
        self._random = random
        self._secret = bytearray(random(KEY_BYTES))
        self._transient = public_key(bytes(self._secret))
        self._key = agree(server, bytes(self._secret))
        self._awaited = _WELCOME

    def begin(self) -> bytes:
        """Return what to say first: HELLO."""
        number = _NUMBER.pack(1)
        box = seal(_ZEROS, b"CurveZMQHELLO---" + number, self._key)
        return _HELLO + _VERSION + bytes(72) + self._transient + number + box

    def on_command(self, command: bytes) -> bytes:
        """Handle a command and return the answer to it; `agreed` is set with the last one.

        Raises:
            Violation: it is not the right one.
            Refusal: the server does not let this client in.
        """
        awaited, self._awaited = self._awaited, _NOTHING
        if awaited == _NOTHING:
            raise Violation("a command after the end of the handshake")
        if command.startswith(ERROR):
            raise self._refused(command)
        if awaited == READY:
            self._on_ready(command)
            return b""
        initiate = self._on_welcome(command)
        self._awaited = READY
        return initiate

    def _refused(self, error: bytes) -> Refusal:
        """Return what an ERROR command says: its status, or "" if it has none that is known, and why."""
        reason = error[len(ERROR) + 1 :]
        if len(error) <= len(ERROR) or error[len(ERROR)] != len(reason):
            raise Violation("malformed ERROR")
        status, more = reason[:_STATUS_BYTES], reason[_STATUS_BYTES:]
        if status not in _STATUSES or (more and not more.startswith(b" ")):
            return Refusal("")
        why = more[1:].decode("ascii", "replace")
        if why.startswith(OTHER_KEY):
            same = not self._net or why in (OTHER_KEY, _told_of(self._net, self._transient))
            why = OTHER_KEY if same else OTHER_NET
        return Refusal(status.decode("ascii"), why=why)

    def _on_welcome(self, welcome: bytes) -> bytes:
        if len(welcome) != _WELCOME_BYTES or not welcome.startswith(_WELCOME):
            raise Violation("not a WELCOME")
        plain = unseal(welcome[24:], b"WELCOME-" + welcome[8:24], self._key)
        server_transient, cookie = plain[:KEY_BYTES], plain[KEY_BYTES:]
        self._key = agree(server_transient, bytes(self._secret))
        wipe(self._secret)
        nonce, number = self._random(16), _NUMBER.pack(2)
        vouch = seal(self._transient + self._server, b"VOUCH---" + nonce, agree(server_transient, self._pair.secret))
        metadata = encode_metadata({b"Socket-Type": b"DEALER", b"Identity": self._identity} | self._properties)
        plain = self._pair.public + nonce + vouch + metadata
        return _INITIATE + cookie + number + seal(plain, b"CurveZMQINITIATE" + number, self._key)

    def _on_ready(self, ready: bytes) -> None:
        if len(ready) < len(READY) + _NUMBER.size + MAC_BYTES or not ready.startswith(READY):
            raise Violation("not a READY")
        number = ready[6:14]
        metadata = unseal(ready[14:], b"CurveZMQREADY---" + number, self._key)
        common = _common(self._properties, b"ROUTER", metadata)
        self.agreed = Agreed(self._key, 2, _NUMBER.unpack(number)[0], common=common)


def refusal(status: str, why: str = "") -> bytes:
    """Return the ERROR command that tells a client so, and why if that is to be told."""
    reason = (f"{status} {why}" if why else status).encode("ascii")
    return ERROR + bytes((len(reason),)) + reason


def _told_of(net: bytes, client_transient: bytes) -> str:
    """Return what a server of a net tells a client that expects another key.

    Who knows the net can see by it whether they are of one; who does not learns nothing, and sees something else in
    each handshake.
    """
    return f"{OTHER_KEY} {blake2b(net, digest_size=_NET_BYTES, key=client_transient).hexdigest()}" if net else OTHER_KEY


def _common(properties: dict[bytes, bytes], kind: bytes, metadata: bytes) -> dict[bytes, bytes]:
    """Return those of some properties that the peer has told as well, whose socket has to be of a kind."""
    told = decode_metadata(metadata)
    if told.get(b"socket-type") != kind:
        raise Violation(f"its socket is no {kind.decode()}")
    common = {name: value for name, value in properties.items() if told.get(name) == value}
    return properties if common == properties else common
