"""What a broker tells an observer of the registry: a part of REPORT. Fields: docs/protocol.md, "REPORT".

Times are spans, as everywhere on the wire, counted by the time of the net: the median of its brokers' clocks.
"""

from msgspec import Struct


class EndStatus(Struct, frozen=True, omit_defaults=True):
    """A certificate that ends soon, or has ended.

    Attributes:
        name: whose it is.
        in_s: seconds until its end; 0 or less if it has ended.
    """

    name: str
    in_s: int


class TokenStatus(Struct, frozen=True, omit_defaults=True):
    """A token that makes members.

    Attributes:
        serial: of its invitation.
        names: the one name that it is for, or a prefix and a `*`.
        uses: how many members it may make.
        used: how many it has made, those included that are gone.
        in_s: seconds until its end; 0 or less if it has ended.
    """

    serial: int
    names: str
    uses: int
    used: int
    in_s: int


class SeenStatus(Struct, frozen=True, omit_defaults=True):
    """When somebody was seen last.

    Attributes:
        name: the member.
        ago_s: how long ago, in seconds.
        token: the serial of the token that has made it a member; 0 if the authority has.
    """

    name: str
    ago_s: int
    token: int = 0


class ClaimStatus(Struct, frozen=True, omit_defaults=True):
    """Somebody who claims a name by a token, be it a member or not: another one may have it, or its key was revoked.

    Attributes:
        enrolment: what the holder of the token has signed, which whoever reads it is to verify.
        ago_s: how long ago the net has seen it last, in seconds.
    """

    enrolment: bytes
    ago_s: int


class RegistryStatus(Struct, frozen=True, omit_defaults=True):
    """The registry at one broker. Lists are cut at REPORT_ROWS_MAX.

    Attributes:
        version: of the registry that is in force; 0 if there is none yet.
        digest: of all of it, in lower-case hex: tells it from another one with the same version.
        members: how many it has, those not counted that tokens have made.
        ends: certificates that end within 30 days or have ended, the earliest first.
        ends_total: how many there are.
        tokens: all of them, by serial.
        enrolled: members that tokens have made, and when the net has seen each last.
        enrolled_total: how many there are.
        seen: members that were connected to this broker since its start, and are not now, the latest first.
        clock_off_s: by how many seconds the clock of this broker's machine is ahead of that of the net.
        claims: of each name that was asked for, who claims it by a token, the best claim first.
    """

    version: int
    digest: str = ""
    members: int = 0
    ends: list[EndStatus] = []
    ends_total: int = 0
    tokens: list[TokenStatus] = []
    enrolled: list[SeenStatus] = []
    enrolled_total: int = 0
    seen: list[SeenStatus] = []
    clock_off_s: int = 0
    claims: dict[str, list[ClaimStatus]] = {}
