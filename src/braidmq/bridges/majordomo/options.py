"""What the Majordomo bridge can be told."""

from typing import Final, Literal

import msgspec

from braidmq.bridges.bodies import Frames
from braidmq.bridges.options import Pattern, RouterOptions, Seconds, told_of


class ServiceOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What holds for a service, in both directions.

    Attributes:
        frames: how several frames become one payload; see bridges/bodies.py.
        timeout_s: how long a call of a foreign client may take; None: as the bridge's own.
        wait: whether a foreign client's call waits within its time where there is no worker, as it does at a broker of
            Majordomo; else it fails at once.
        error_frames: whether a call that fails is answered with three frames (`$braidmq`, code, text) instead of
            silence.
        duplicates: whether a request that may have been run before is delivered to a foreign worker, which cannot be
            told so, or refused.
    """

    frames: Frames = "one"
    timeout_s: Seconds | None = None
    wait: bool = True
    error_frames: bool = False
    duplicates: Literal["deliver", "refuse"] = "deliver"


_PLAIN: Final = ServiceOptions()


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
        return told_of(self.services, service, _PLAIN)
