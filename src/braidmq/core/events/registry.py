"""What a broker tells of the registry, and of clocks."""

from braidmq.core.events.event import ERROR, WARNING, Event


class RegistryInForce(Event, frozen=True):
    """A newer registry is in force.

    Attributes:
        version: of the registry.
    """

    version: int

    def text(self) -> str:
        """See `Event`."""
        return f"registry {self.version} is in force, handed on by {self.about}"


class RegistryRefused(Event, frozen=True):
    """A registry that somebody has handed on is none.

    Attributes:
        version: of the one that stays in force.
        why: what is wrong with the other one.
    """

    level = WARNING

    version: int
    why: str

    def text(self) -> str:
        """See `Event`."""
        return f"registry {self.version} stays in force: what {self.about} hands on is refused: {self.why}"


class RegistryForked(Event, frozen=True):
    """Somebody has another registry of the same version: the authority's directory was restored, or there are two.

    Attributes:
        version: which both have.
    """

    level = ERROR

    version: int

    def text(self) -> str:
        """See `Event`."""
        return (
            f"{self.about} has another registry {self.version} than this broker: the authority's directory was "
            "restored from a backup, or there are two of them; make one more change in the right one and publish it"
        )


class RegistryLate(Event, frozen=True):
    """This broker admits nodes without having heard of each other broker which registry it has.

    Attributes:
        version: of the registry that is in force.
        missing: the brokers that were not heard.
    """

    level = WARNING

    version: int
    missing: str

    def text(self) -> str:
        """See `Event`."""
        return f"registry {self.version} is in force, though {self.missing} may have a newer one: not heard in time"


class ClockDiffers(Event, frozen=True):
    """The clock of this member's machine is not that of the brokers.

    Attributes:
        off_s: by how many seconds it is ahead, if positive.
    """

    level = WARNING

    off_s: int

    def text(self) -> str:
        """See `Event`."""
        way = "ahead of" if self.off_s > 0 else "behind"
        return (
            f"the clock of {self.about} is {abs(self.off_s)} s {way} that of the net, by which certificates end: "
            "set it right (`date -u` tells it)"
        )


class CertificatesEnd(Event, frozen=True):
    """Certificates of members end soon, or have ended.

    Attributes:
        days: within how many days they end; 0: they have ended.
        count: how many they are.
        names: their members, the first of them.
    """

    level = WARNING

    days: int
    count: int
    names: str

    def text(self) -> str:
        """See `Event`."""
        if self.days:
            return f"{_ending(self.count)} within {_days(self.days)}: {self.names}; renew them with `braidmq renew`"
        return (
            f"{_ended(self.count)}: {self.names}; brokers refuse them from now on: renew them with `braidmq renew`, or "
            "take them off with `braidmq remove`"
        )


class OwnCertificateEnds(Event, frozen=True):
    """The certificate of this node or broker ends soon, or has ended.

    Attributes:
        days: within how many days it ends; 0: it has ended.
    """

    level = WARNING

    days: int

    def text(self) -> str:
        """See `Event`."""
        how = f"ends within {_days(self.days)}" if self.days else "has ended: brokers refuse it"
        return f"the certificate of {self.about}, this process, {how}; renew it with `braidmq renew {self.about}`"


def _days(count: int) -> str:
    return "a day" if count == 1 else f"{count} days"


def _ending(count: int) -> str:
    return "1 certificate ends" if count == 1 else f"{count:,} certificates end"


def _ended(count: int) -> str:
    return "1 certificate has ended" if count == 1 else f"{count:,} certificates have ended"


class Enrolled(Event, frozen=True):
    """A token has made a member.

    Attributes:
        token: which one.
    """

    token: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.about} is a member now, by {self.token}"


class EnrolmentRefused(Event, frozen=True):
    """Somebody who holds a token was not admitted; it may be stolen.

    Attributes:
        why: it was not.
    """

    level = WARNING

    why: str

    def text(self) -> str:
        """See `Event`."""
        return f"a holder of {self.about} was not admitted: {self.why}"


class TokenTrouble(Event, frozen=True):
    """Something is wrong with a token, as far as another broker's enrolments tell.

    Attributes:
        what: is wrong, and what to do.
    """

    level = ERROR

    what: str

    def text(self) -> str:
        """See `Event`."""
        return f"{self.what} (told by {self.about})"
