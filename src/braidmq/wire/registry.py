"""How a registry travels: bodies of control messages. Fields: docs/protocol.md, "The registry in motion".

Whoever has a newer registry says so; whoever has an older one asks for it, part by part. What comes is believed only if
the authority of the net has signed it, so that it does not matter who hands it on.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from braidmq.wire.gossip import Blob, Count, Name
from braidmq.wire.kinds import Control
from braidmq.wire.limits import BROKERS_MAX, TEXT_CHARS_MAX

PART_BYTES: Final = 32 * 1024
"""Longest part of a registry: it fits whatever is the limit of a frame, and does not keep small messages waiting."""

PARTS_AHEAD: Final = 16
"""Parts that may be asked for at once: half a MiB for each round trip."""

DIGEST_BYTES: Final = 16
"""Digest of a registry, by which two that have the same version are told apart."""

REGISTRY_BYTES_MAX: Final = 32 * 1024 * 1024
"""Longest registry."""

ENROLMENTS_TOLD_MAX: Final = 64
"""Enrolments in one message: some 32 KiB."""

Version = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Offset = Annotated[int, Meta(ge=0, le=REGISTRY_BYTES_MAX)]
_UnixMs = Annotated[int, Meta(ge=0, le=2**53)]


class RegistryVersion(Control, frozen=True):
    """The newest registry that the sender has: said as a session begins, and whenever there is a newer one.

    Attributes:
        version: of the registry.
        digest: of all of it.
        unix_ms: what time it is for the sender.
    """

    NUMBER = 51
    version: Version
    digest: Annotated[bytes, Meta(max_length=DIGEST_BYTES)] = b""
    unix_ms: _UnixMs = 0


class RegistryWanted(Control, frozen=True):
    """Asks for parts of the newest registry of the other side.

    Attributes:
        since: the version that the sender has; 0 asks for all of it.
        offset: where the first part begins.
        parts: how many parts may come.
    """

    NUMBER = 52
    since: Version
    offset: _Offset = 0
    parts: Annotated[int, Meta(ge=1, le=PARTS_AHEAD)] = 1


class RegistryPart(Control, frozen=True):
    """A part of a registry.

    Attributes:
        version: which registry it makes.
        since: the version that it is the difference from; 0 if it is a whole one.
        total: bytes of all parts together.
        offset: where this part begins.
        data: its bytes.
    """

    NUMBER = 53
    version: Version
    since: Version
    total: _Offset
    offset: _Offset
    data: Annotated[bytes, Meta(max_length=PART_BYTES)]


class RosterIs(Control, frozen=True):
    """The signed list of the brokers, for nodes: after WELCOME and with every change, if it is newer than theirs."""

    NUMBER = 54
    roster: Annotated[bytes, Meta(max_length=4 * 1024 * 1024)]


class CertificateIs(Control, frozen=True):
    """The receiver's own certificate: after WELCOME and with every change, if it is newer than its own.

    Attributes:
        certificate: signed by the authority; or an enrolment, signed by whoever held an invitation.
        invitation: the invitation, if it is an enrolment.
    """

    NUMBER = 55
    certificate: Blob
    invitation: Blob = b""


class BrokerVersion(Struct, frozen=True, array_like=True):
    """Which registry another broker has, as far as its sender has heard."""

    name: Name
    version: Version


class Published(Control, frozen=True):
    """What has become of a registry that was handed in.

    Attributes:
        version: of the registry that is in force now.
        refused: why what was handed in is not; empty if it is.
        brokers: the other brokers of the net that are alive, and what they have.
    """

    NUMBER = 56
    version: Version
    refused: Annotated[str, Meta(max_length=TEXT_CHARS_MAX)] = ""
    brokers: Annotated[list[BrokerVersion], Meta(max_length=BROKERS_MAX)] = []


class Enrol(Control, frozen=True):
    """Asks for admission: whoever holds the token of an invitation has signed it."""

    NUMBER = 57
    enrolment: Blob


class EnrolmentRow(Struct, frozen=True, array_like=True):
    """An enrolment as brokers tell it one another, and when its member was seen last, in Unix seconds."""

    enrolment: Blob
    seen_s: Count


class Enrolled(Control, frozen=True):
    """Enrolments that the sender knows of; to whoever has sent ENROL, what has become of it.

    Attributes:
        rows: enrolments.
        refused: why the one that was asked for is none; empty if it is.
    """

    NUMBER = 58
    rows: Annotated[list[EnrolmentRow], Meta(max_length=ENROLMENTS_TOLD_MAX)] = []
    refused: Annotated[str, Meta(max_length=TEXT_CHARS_MAX)] = ""
