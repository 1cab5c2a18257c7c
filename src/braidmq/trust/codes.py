"""What goes from one machine to another as one line of text, instead of a file: netcodes, request codes and tokens.

How the line looks is in code_text.py. Within it is a MessagePack array; elements that a newer version adds are skipped.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self, TypeVar

import msgspec

from braidmq.errors import ConfigError, ProtocolError
from braidmq.members import check_name
from braidmq.trust import code_text
from braidmq.trust.certificate import ENDPOINTS_MAX, SERIAL_MAX, TIME_MAX_S, Certificate, check_net
from braidmq.trust.code_text import CONTENT_BYTES_MAX, Kind
from braidmq.trust.curve_key import check_curve_key
from braidmq.trust.endpoint import check_endpoint
from braidmq.trust.invitation import check_names, name_for
from braidmq.trust.signed import KEY_BYTES
from braidmq.trust.token_keys import TokenKeys
from braidmq.wire.nesting import check_nesting

BROKERS_IN_CODE_MAX: Final = 16
"""Brokers that a code names: enough that one of them is up. The others are learned from it."""


class _Broker(msgspec.Struct, frozen=True, array_like=True):
    name: str
    key: bytes
    endpoints: tuple[str, ...]


class _Net(msgspec.Struct, frozen=True, array_like=True):
    net: bytes
    authority_key: bytes
    brokers: tuple[_Broker, ...]


class _Request(msgspec.Struct, frozen=True, array_like=True):
    net: bytes
    name: str
    key: bytes


class _Token(msgspec.Struct, frozen=True, array_like=True):
    net: _Net
    seed: bytes
    serial: int
    name: str
    prefix: str
    not_after: int


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """Where a broker is, and how it is known to be the right one.

    Attributes:
        name: the broker's.
        key: its CURVE public key, 32 bytes.
        endpoints: where it can be reached, 1 to `ENDPOINTS_MAX`.

    Raises:
        ConfigError: one of them cannot be.
    """

    name: str
    key: bytes
    endpoints: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that each can be."""
        check_name(self.name)
        check_curve_key(self.key)
        if not 1 <= len(self.endpoints) <= ENDPOINTS_MAX:
            raise ConfigError(f"broker {self.name!r} must have 1 to {ENDPOINTS_MAX} endpoints")
        for each in self.endpoints:
            check_endpoint(each)


@dataclass(frozen=True, slots=True)
class Netcode:
    """What a machine needs to find a net and to know it again. Nothing of it is secret; a wrong one leads astray.

    Attributes:
        net: the net's id, 16 lower-case hex digits.
        authority_key: the Ed25519 public key of its authority, 32 bytes: the root of all trust.
        brokers: some of its brokers, 1 to `BROKERS_IN_CODE_MAX`.

    Raises:
        ConfigError: one of them cannot be.
    """

    net: str
    authority_key: bytes
    brokers: tuple[BrokerPlace, ...]

    def __post_init__(self) -> None:
        """Check that each can be."""
        check_net(self.net)
        if len(self.authority_key) != KEY_BYTES:
            raise ConfigError(f"the authority's key has {KEY_BYTES} bytes, not {len(self.authority_key)}")
        if not 1 <= len(self.brokers) <= BROKERS_IN_CODE_MAX:
            raise ConfigError(f"a code must name 1 to {BROKERS_IN_CODE_MAX} brokers, not {len(self.brokers)}")
        if len({each.name for each in self.brokers}) < len(self.brokers):
            raise ConfigError("a code names a broker twice")

    @classmethod
    def of(cls, net: str, authority_key: bytes, brokers: Iterable[Certificate]) -> Self:
        """Return the netcode of a net: its first brokers, with their first endpoints, as many as fit into a token.

        Raises:
            ConfigError: the net has no broker yet.
        """
        chosen: list[BrokerPlace] = []
        left = CONTENT_BYTES_MAX - _REST_BYTES_MAX
        for each in brokers:
            for count in range(len(each.endpoints), 0, -1):
                place = BrokerPlace(each.name, each.keys[-1], each.endpoints[:count])
                size = len(msgspec.msgpack.encode(_Broker(place.name, place.key, place.endpoints)))
                if size <= left:
                    chosen.append(place)
                    left -= size
                    break
            if len(chosen) == BROKERS_IN_CODE_MAX:
                break
        if not chosen:
            raise ConfigError("the net has no broker yet: add one first")
        return cls(net, authority_key, tuple(chosen))

    def encode(self) -> str:
        """Return the code.

        Raises:
            ConfigError: it would be too long; one that `of` has made is not.
        """
        return code_text.encode(Kind.NET, msgspec.msgpack.encode(self._packed()))

    @classmethod
    def decode(cls, text: str) -> Self:
        """Return the netcode in a code.

        Raises:
            ConfigError: it is none. One line says what it is instead.
        """
        return cls._unpacked(_decoded(text, Kind.NET, _Net))

    def _packed(self) -> _Net:
        brokers = tuple(_Broker(each.name, each.key, each.endpoints) for each in self.brokers)
        return _Net(bytes.fromhex(self.net), self.authority_key, brokers)

    @classmethod
    def _unpacked(cls, packed: _Net) -> Self:
        try:
            brokers = tuple(BrokerPlace(each.name, each.key, each.endpoints) for each in packed.brokers)
            return cls(packed.net.hex(), packed.authority_key, brokers)
        except ConfigError:
            raise _unusable() from None


@dataclass(frozen=True, slots=True)
class RequestCode:
    """Who asks for membership. It is not signed: who admits it looks at where it comes from.

    Attributes:
        net: the net's id, 16 lower-case hex digits.
        name: the name that it asks for.
        key: its CURVE public key, 32 bytes.

    Raises:
        ConfigError: one of them cannot be.
    """

    net: str
    name: str
    key: bytes

    def __post_init__(self) -> None:
        """Check that each can be."""
        check_net(self.net)
        check_name(self.name)
        check_curve_key(self.key)

    def encode(self) -> str:
        """Return the code."""
        return code_text.encode(
            Kind.REQUEST, msgspec.msgpack.encode(_Request(bytes.fromhex(self.net), self.name, self.key))
        )

    @classmethod
    def decode(cls, text: str) -> Self:
        """Return the request in a code.

        Raises:
            ConfigError: it is none. One line says what it is instead.
        """
        packed = _decoded(text, Kind.REQUEST, _Request)
        try:
            return cls(packed.net.hex(), packed.name, packed.key)
        except ConfigError:
            raise _unusable() from None


@dataclass(frozen=True, slots=True)
class Token:
    """What makes its holder a member: a secret. Its seed is kept out of `repr`; the code that `encode` returns is not.

    What its members may do is in its invitation, which brokers have.

    Attributes:
        netcode: where the net is.
        seed: the secret, 32 bytes; `keys` come from it.
        serial: of the invitation, 1 to `SERIAL_MAX`.
        not_after: when it ends, in Unix seconds.
        name: the one name that its member has; empty if there is a prefix.
        prefix: what the names of its members begin with; empty if there is a name.

    Raises:
        ConfigError: one of them cannot be.
    """

    netcode: Netcode
    seed: bytes = field(repr=False)
    serial: int
    not_after: int
    name: str = ""
    prefix: str = ""

    def __post_init__(self) -> None:
        """Check that each can be."""
        if len(self.seed) != KEY_BYTES:
            raise ConfigError(f"the seed of a token has {KEY_BYTES} bytes, not {len(self.seed)}")
        if not 1 <= self.serial <= SERIAL_MAX:
            raise ConfigError(f"a serial must be from 1 to 2^63 - 1, not {self.serial}")
        if not 1 <= self.not_after <= TIME_MAX_S:
            raise ConfigError(f"a token must end between 1970 and the year 9999, not at {self.not_after}")
        check_names(self.name, self.prefix)

    @property
    def keys(self) -> TokenKeys:
        """The keys that come from the seed."""
        return TokenKeys.of(self.seed)

    def name_for(self, key: bytes) -> str:
        """Return the name for whoever has this CURVE public key and asks for no other: the same one each time."""
        return name_for(self.name, self.prefix, key)

    def encode(self) -> str:
        """Return the code: a secret.

        Raises:
            ConfigError: it would be too long; one with a netcode that `Netcode.of` has made is not.
        """
        packed = _Token(self.netcode._packed(), self.seed, self.serial, self.name, self.prefix, self.not_after)  # noqa: SLF001 - the same module
        return code_text.encode(Kind.TOKEN, msgspec.msgpack.encode(packed))

    @classmethod
    def decode(cls, text: str) -> Self:
        """Return the token in a code. Whether it has ended is for the caller to say.

        Raises:
            ConfigError: it is none. One line says what it is instead, and quotes nothing of it.
        """
        packed = _decoded(text, Kind.TOKEN, _Token)
        netcode = Netcode._unpacked(packed.net)  # noqa: SLF001 - the same module
        try:
            return cls(netcode, packed.seed, packed.serial, packed.not_after, packed.name, packed.prefix)
        except ConfigError:
            raise _unusable() from None


_REST_BYTES_MAX: Final = 300
"""What a token's content has besides the places of brokers, at most: keys, a name, numbers, and their lengths."""

S = TypeVar("S", _Net, _Request, _Token)


def _decoded(text: str, kind: Kind, packed: type[S]) -> S:
    content = code_text.decode(text, kind)
    try:
        check_nesting(content, len(content))
        return msgspec.msgpack.decode(content, type=packed)
    except (ProtocolError, msgspec.MsgspecError, ValueError, RecursionError):  # its text could quote a secret
        raise _unusable() from None


def _unusable() -> ConfigError:
    """Return the error for a code that is whole, and still makes no sense."""
    return ConfigError("the code is whole, but no braidmq of this version has made it: make it anew")
