"""What a broker tells of the registry, and of clocks."""

from typing import Final

from braidmq.core.events.event import ERROR, WARNING, Event

_ENDED: Final = "brokers refuse what has ended: `braidmq renew` it, or `braidmq remove` its member"


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
        mend = "by which certificates end: set it right (`date -u` tells it)"
        if self.off_s > 0:
            return f"the clock of {self.about} is {self.off_s} s ahead of that of the net, {mend}"
        return f"the clock of {self.about} is {-self.off_s} s behind that of the net, {mend}"


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
        names, days, count = self.names, self.days, self.count
        if days and count == 1:
            return f"1 certificate ends within {days} day{_s(days)}: {names}; renew it with `braidmq renew`"
        if days:
            return (
                f"{self.count:,} certificates end within {days} day{_s(days)}: {names}; renew them with `braidmq renew`"
            )
        if count == 1:
            return f"1 certificate has ended: {names}; {_ENDED}"
        return f"{count:,} certificates have ended: {names}; {_ENDED}"


class OwnCertificateEnds(Event, frozen=True):
    """The certificate of this node or broker ends soon, or has ended.

    Attributes:
        days: within how many days it ends; 0: it has ended.
    """

    level = WARNING

    days: int

    def text(self) -> str:
        """See `Event`."""
        mend = f"renew it with `braidmq renew {self.about}`"
        if self.days:
            return f"the certificate of {self.about}, this process, ends within {self.days} day{_s(self.days)}; {mend}"
        return f"the certificate of {self.about}, this process, has ended: brokers refuse it; {mend}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


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
