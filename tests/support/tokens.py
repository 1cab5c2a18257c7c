"""An authority, members of its net, a token, and what its holder says."""

import msgspec
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from braidmq.members import Role
from braidmq.trust import certificate, enrolment
from braidmq.trust.certificate import Claims
from braidmq.trust.enrolment import Statement
from braidmq.trust.invitation import Invitation, Terms, issue
from braidmq.trust.token_keys import TokenKeys

NET = "0123456789abcdef"
SEED = b"s" * 32
AUTHORITY = bytes(SigningKey(SEED).verify_key)
TOKEN = TokenKeys.of(b"t" * 32)
OTHER_TOKEN = TokenKeys.of(b"o" * 32)
NOW = 1_800_000_000
END = NOW + 900

TERMS = Terms(
    net=NET,
    serial=7,
    key=TOKEN.key,
    curve_key=TOKEN.curve_key,
    uses=2,
    not_after=END,
    prefix="replica-",
    calls=("pricing",),
    serves=("orders.*",),
    observe=True,
    idle_s=800,
)


def member_key(number: int) -> bytes:
    """Return the CURVE public key of a member to be."""
    return bytes(PrivateKey(bytes((number,)) * 32).public_key)


def invite(**changes) -> Invitation:
    """Return an invitation with other terms than usual."""
    return issue(msgspec.structs.replace(TERMS, **changes), SEED)


def other_invite(**changes) -> Invitation:
    """Return the invitation of another token."""
    return invite(**{"serial": 8, "key": OTHER_TOKEN.key, "curve_key": OTHER_TOKEN.curve_key, **changes})


INVITATION = invite()


def statement(number: int = 1, **changes) -> Statement:
    """Return what the holder says of a member to be."""
    said = Statement(net=NET, invitation=7, name=f"replica-{number}", key=member_key(number), made_at=NOW)
    return msgspec.structs.replace(said, **changes)


def enrol(number: int = 1, keys: TokenKeys = TOKEN, **changes) -> bytes:
    """Return an enrolment of a member to be."""
    return enrolment.issue(statement(number, **changes), keys.signing_seed)


MEMBER_SECRET = b"m" * 32
MEMBER = certificate.issue(
    Claims(
        net=NET,
        serial=7,
        name="orders",
        role=Role.NODE,
        keys=(bytes(PrivateKey(MEMBER_SECRET).public_key),),
        calls=("pricing",),
        serves=("o.*",),
        observe=True,
    ),
    SEED,
)
"""The certificate of a node."""

BROKER_SECRET = b"b" * 32
BROKER = certificate.issue(
    Claims(
        net=NET,
        serial=8,
        name="b1",
        role=Role.BROKER,
        keys=(bytes(PrivateKey(BROKER_SECRET).public_key),),
        endpoints=("tcp://h:5550",),
    ),
    SEED,
)
"""The certificate of a broker."""
