"""What brokers tell one another about the net: bodies of control messages. Fields: docs/protocol.md, "Membership".

The algorithm is SWIM (Das, Gupta, Motivala 2002) with Lifeguard's corrections (Dadgar, Phillips, Currey 2017).
"""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from braidmq.members import NAME_BYTES_MAX, SERVICE_BYTES_MAX
from braidmq.wire.envelope import UINT32
from braidmq.wire.kinds import Control
from braidmq.wire.limits import SERVICE_ROWS_MAX

INCARNATION_MAX: Final = 2**53
"""Largest incarnation: an integer that every language has, and that no number of refutations or lies reaches."""

RUMORS_MAX: Final = 16
"""Rumors that ride on one message: with a certificate each they stay below 8 KiB, typically."""

MEMBERS_MAX: Final = 10_000
"""Rows of a SYNC, and brokers of a PEERS."""

Name = Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX)]
ServiceName = Annotated[str, Meta(min_length=1, max_length=SERVICE_BYTES_MAX)]
Blob = Annotated[bytes, Meta(max_length=64 * 1024)]
Count = Annotated[int, Meta(ge=0, le=UINT32)]
Incarnation = Annotated[int, Meta(ge=0, le=INCARNATION_MAX)]
State = Literal["alive", "suspect", "leaving", "dead"]


class Rumor(Struct, frozen=True, array_like=True, omit_defaults=True):
    """What is said of one broker.

    Attributes:
        name: the broker.
        incarnation: which life of it this is about; only the broker itself raises it.
        state: at the same incarnation a later one of alive, suspect, leaving, dead overrides an earlier one.
        by: the broker that says so, for suspect: several accusers count for more than one.
        certificate: the broker's certificate, for those who may not know it; may be empty.
    """

    name: Name
    incarnation: Incarnation
    state: State
    by: Annotated[str, Meta(max_length=NAME_BYTES_MAX)] = ""
    certificate: Blob = b""


Rumors = Annotated[list[Rumor], Meta(max_length=RUMORS_MAX)]


class Gossiped(Control, frozen=True):
    """What the membership of brokers is made of; only brokers may send it."""


class Ping(Gossiped, frozen=True):
    """Asks for an ACK with the same number."""

    NUMBER = 42
    number: Count
    rumors: Rumors = []


class Ack(Gossiped, frozen=True):
    """Answers a PING, or a PROBE once its target has answered."""

    NUMBER = 43
    number: Count
    rumors: Rumors = []


class Probe(Gossiped, frozen=True):
    """Asks to PING `target`, and to pass its ACK on; NACK after a while without one."""

    NUMBER = 44
    number: Count
    target: Name
    rumors: Rumors = []


class Nack(Gossiped, frozen=True):
    """Answers a PROBE whose target is silent: the sender, at least, is well."""

    NUMBER = 45
    number: Count


class Gossip(Gossiped, frozen=True):
    """Nothing but rumors."""

    NUMBER = 46
    rumors: Rumors


class Sync(Gossiped, frozen=True):
    """All that the sender holds of the brokers; it asks for the same in return."""

    NUMBER = 47
    members: Annotated[list[Rumor], Meta(max_length=MEMBERS_MAX)]
    answer: bool = False


class ServiceAbout(Struct, frozen=True, array_like=True):
    """A service at the broker that tells of itself.

    Attributes:
        name: the service.
        workers: how many workers it has there.
        credit: how many more requests those that are ready accept now.
    """

    name: ServiceName
    workers: Count
    credit: Count


class About(Control, frozen=True):
    """What a broker says of itself; nobody else can.

    Attributes:
        name: the sender.
        version: grows with each ABOUT of a session; a lower one is old.
        endpoints: where it can be reached.
        nodes: how many are connected.
        in_flight: requests that are with its workers.
        queued: requests that wait for a worker.
        settled: whether its workers have had their time to arrive.
        services: those with a worker.
    """

    NUMBER = 48
    name: Name
    version: Count
    endpoints: Annotated[list[Annotated[str, Meta(max_length=300)]], Meta(max_length=16)] = []
    nodes: Count = 0
    in_flight: Count = 0
    queued: Count = 0
    settled: bool = False
    services: Annotated[list[ServiceAbout], Meta(max_length=SERVICE_ROWS_MAX)] = []


class Seek(Control, frozen=True):
    """A node asks which brokers have workers for a service that none of its own has."""

    NUMBER = 49
    service: ServiceName


class Paths(Control, frozen=True):
    """The answer to SEEK: names of brokers that said of themselves that they have workers for `service`."""

    NUMBER = 50
    service: ServiceName
    brokers: Annotated[list[Name], Meta(max_length=RUMORS_MAX)]
