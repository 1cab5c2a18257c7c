"""A registry that moves, as a broker's core sees it: its Directory and its Credentials, without signatures.

A registry of these tests travels as `VERSION/NAME,NAME...`, which says who of those that were ever registered is a
member no more. Tokens and what they make are real.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

from braidmq.carrier.roll import TokenRoll
from braidmq.core.links.link import BrokerAddress
from braidmq.errors import ProtocolError
from braidmq.members import Member, Standing
from braidmq.trust import manifest as manifests
from braidmq.trust.invitation import Invitation
from braidmq.trust.registry import Registry as TrustRegistry
from braidmq.wire.registry import CertificateIs
from braidmq.wire.registry_status import ClaimStatus, SeenStatus, TokenStatus
from tests.support.rigs.broker_rig import BROKER, Registry
from tests.support.rigs.node_rig import address
from tests.support.tokens import NET, NOW

NOBODY = TrustRegistry(manifests.nobody(NET))


@dataclass
class Edition:
    """A registry that was checked."""

    version: int
    gone: frozenset[str]


def encoded(version: int, *gone: str) -> bytes:
    """Return a registry as it travels."""
    return b"%d/" % version + ",".join(sorted(gone)).encode()


class MovingRegistry(Registry):
    """See the module.

    Attributes:
        version: of the registry that is in force.
        gone: the names that are members no more.
        peers: the other brokers.
        size: how many bytes of padding each registry has.
        serial: of each certificate in it.
        on_adopted: is called when another registry is in force.
    """

    def __init__(self, *invitations: Invitation, peers: tuple[str, ...] = (), size: int = 0) -> None:
        super().__init__()
        self.version = 1
        self.gone: frozenset[str] = frozenset()
        self.peers = peers
        self.size = size
        self.serial = 1
        self.on_adopted: Callable[[], object] = lambda: None
        self.roll = TokenRoll()
        self.roll.use(invitations, NOBODY, NOW)

    # -- see Listed: nothing ends here

    @property
    def members_total(self) -> int:
        return 0

    def ending(self, after_s: float, until_s: float) -> list[tuple[int, str]]:
        return []

    def tokens(self, unix_s: float) -> list[TokenStatus]:
        return self.roll.tokens(unix_s)

    def enrolled(self, unix_s: float, most: int) -> tuple[list[SeenStatus], int]:
        return self.roll.enrolled(unix_s, most)

    def claims(self, name: str, unix_s: float, most: int) -> list[ClaimStatus]:
        return self.roll.claims(name, unix_s, most)

    def has(self, name: str) -> bool:
        return name not in self.gone

    # -- see Directory

    def member(self, principal: str) -> Member | None:
        found = self.members.get(principal)
        if found is not None:
            return None if found.name in self.gone else found
        return self.roll.member(principal)

    def standing(self, principal: str) -> Standing:
        return Standing.UNKNOWN if self.member(principal) is None else Standing.MEMBER

    # -- see Ledger

    @property
    def digest(self) -> bytes:
        return encoded(self.version, *self.gone)[:16]

    @property
    def brokers(self) -> tuple[str, ...]:
        return (BROKER, *(name for name in self.peers if name not in self.gone))

    def since(self, version: int) -> tuple[int, bytes]:
        del version
        return 0, encoded(self.version, *self.gone) + bytes(self.size)

    def check(self, data: bytes, since: int) -> Generator[None, None, Edition]:
        yield
        number, slash, gone = data.rstrip(b"\0").partition(b"/")
        if since or not slash or not number.isdigit():
            raise ProtocolError("the signature is not valid")
        return Edition(int(number), frozenset(filter(None, gone.decode().split(","))))

    def adopt(self, candidate: object, source: str, now: float) -> None:
        del source, now
        assert isinstance(candidate, Edition)
        assert candidate.version > self.version, "an older registry has come into force"
        self.version, self.gone = candidate.version, candidate.gone
        self.on_adopted()

    # -- see Credentials

    @property
    def addresses(self) -> list[BrokerAddress]:
        return [address(name) for name in self.brokers]

    @property
    def roster(self) -> tuple[int, bytes]:
        return self.version, b"roster %d" % self.version

    def certificate(self, principal: str) -> tuple[int, CertificateIs] | None:
        found = self.member(principal)
        if found is None or found.invitation:
            return None
        return self.serial, CertificateIs(b"certificate of " + found.name.encode())
