"""How large a payload may be, by what each broker has said."""

from collections.abc import Mapping

from braidmq.core.links.link import Link


class PayloadLimits:
    """The limits of one member, made anew when its links have changed.

    Attributes:
        most: the largest payload that some broker takes, as far as is known.
        sure: the largest one that every broker takes to which there is a session.

    Args:
        own_bytes_max: the member's own limit, which holds in any case.
        links: its table.
    """

    __slots__ = ("_links", "_own_bytes_max", "_version", "most", "sure")

    def __init__(self, own_bytes_max: int, links: Mapping[str, Link]) -> None:
        self.most = self.sure = own_bytes_max
        self._own_bytes_max = own_bytes_max
        self._links = links
        self._version = 0

    def at(self, version: int) -> "PayloadLimits":
        """Return the limits as they are at a version of the links."""
        if version != self._version:
            self._version = version
            self._find()
        return self

    def _find(self) -> None:
        own = self._own_bytes_max
        told: list[int] = []
        unknown = False
        for link in self._links.values():
            if link.epoch:
                told.append(link.payload_bytes_max)
            else:
                unknown = unknown or (link.wanted and link.failure is None)
        self.most = own if unknown or not told else min(own, max(told))
        self.sure = min([own, *(link.payload_bytes_max for link in self._links.values() if link.open)])
