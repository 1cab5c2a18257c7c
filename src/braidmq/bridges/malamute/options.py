"""What the Malamute bridge can be told."""

from typing import Annotated, Final, Literal

import msgspec

from braidmq.bridges.bodies import Frames
from braidmq.bridges.options import Pattern, RouterOptions, Seconds, told_of

CONCURRENCY: Final = 16
"""Requests that a Malamute worker has at once: its protocol has no credit, so it must not be flooded, and has enough to
do while an answer is on its way."""

CONCURRENCY_MAX: Final = 1_000
"""Most that may be told: as many messages as wait for one connection."""

_Concurrency = Annotated[int, msgspec.Meta(ge=1, le=CONCURRENCY_MAX)]


class ServiceOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What holds for a service, in both directions.

    Attributes:
        frames: how several frames become one payload; see bridges/bodies.py.
        timeout_s: how long a call of a Malamute client may take; None: as the bridge's own.
        timeout: "ignore": the field `timeout` of a request means nothing, as for Malamute's own server. "deadline": it
            is how long the call may take, unless it is 0.
        wait: whether a client's call waits within its time where there is no worker, or ends at once as NO_WORKER;
            None: as the setting `wait_for_worker` says, but what was sent while no bridge ran waits, as its workers are
            still on their way, too.
        errors: whether a call that fails is answered with mail from `$braidmq`, or with silence.
        subject: "header": the subject reaches the handler as a header. "service": a request is for the service
            NAME.SUBJECT.
        concurrency: how many requests each Malamute worker has at once.
        duplicates: whether a request that may have been run before is delivered to a Malamute worker, which cannot be
            told so, or refused.
    """

    frames: Frames = "one"
    timeout_s: Seconds | None = None
    timeout: Literal["ignore", "deadline"] = "ignore"
    wait: bool | None = None
    errors: Literal["mail", "silent"] = "mail"
    subject: Literal["header", "service"] = "header"
    concurrency: _Concurrency = CONCURRENCY
    duplicates: Literal["deliver", "refuse"] = "deliver"


Service = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]{0,126}\Z")]

_PLAIN: Final = ServiceOptions()


class MalamuteOptions(RouterOptions, kw_only=True, forbid_unknown_fields=True):
    """What the Malamute bridge can be told.

    Attributes:
        names: services that are called otherwise in the net, by the name that Malamute's programs use.
        services: what holds for services, by their name in the net; the longest pattern counts, a name before any of
            them.
    """

    names: dict[Annotated[str, msgspec.Meta(min_length=1, max_length=255)], Service] = msgspec.field(
        default_factory=dict
    )
    services: dict[Pattern, ServiceOptions] = msgspec.field(default_factory=dict)

    def name_of(self, address: bytes) -> str:
        """Return what a service is called in the net; it may be no name there."""
        said = address.decode(errors="replace")
        return self.names.get(said, said)

    def of(self, service: str) -> ServiceOptions:
        """Return what holds for a service."""
        return told_of(self.services, service, _PLAIN)
