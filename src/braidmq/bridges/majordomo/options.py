"""What the Majordomo bridge can be told."""

from typing import Annotated, Literal

import msgspec

from braidmq.bridges.options import RouterOptions, Seconds


class ServiceOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What holds for a service, in both directions.

    Attributes:
        frames: "one": a body of one frame is the payload, as it is. "msgpack": a payload is a MessagePack array of
            binary strings, one for each frame of the body, however many there are.
        timeout_s: how long a call of a foreign client may take; None: as the bridge's own.
        wait: whether a foreign client's call waits within its time where there is no worker, as it does at a broker of
            Majordomo; else it fails at once.
        error_frames: whether a call that fails is answered with three frames (`$braidmq`, code, text) instead of
            silence.
        duplicates: whether a request that may have been run before is delivered to a foreign worker, which cannot be
            told so, or refused.
    """

    frames: Literal["one", "msgpack"] = "one"
    timeout_s: Seconds | None = None
    wait: bool = True
    error_frames: bool = False
    duplicates: Literal["deliver", "refuse"] = "deliver"


Pattern = Annotated[str, msgspec.Meta(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._/:-]{0,126}\*?)$")]
"""A service, a prefix that ends in `*`, or `*`."""


class MajordomoOptions(RouterOptions, kw_only=True, forbid_unknown_fields=True):
    """What the Majordomo bridge can be told.

    Attributes:
        ordered: whether a client with several calls under way gets its replies in the order of its requests: replies
            have no id.
        services: what holds for services; the longest pattern counts, a name before any of them.
    """

    ordered: bool = False
    services: dict[Pattern, ServiceOptions] = {}

    def of(self, service: str) -> ServiceOptions:
        """Return what holds for a service."""
        found = self.services.get(service)
        if found is not None:
            return found
        patterns = [each for each in self.services if each.endswith("*") and service.startswith(each[:-1])]
        return self.services[max(patterns, key=len)] if patterns else ServiceOptions()
