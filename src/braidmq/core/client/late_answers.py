"""Answers that nobody waits for: some come too late, and some were never asked for."""

from typing import Final

from braidmq.core.links.link import Failure, Link
from braidmq.core.links.links import Links
from braidmq.wire.envelope import WORKING

UNASKED_MAX: Final = 100
"""Answers that nobody has asked for, within UNASKED_WITHIN_S, before their broker is left: each costs as much to read
as one that was asked for. A healthy broker answers each attempt once, so it sends none."""

UNASKED_BYTES_EACH: Final = 1024 * 1024
"""As how many bytes another one counts."""

UNASKED_WITHIN_S: Final = 60.0
"""What a few odd moments of a long session add up to is no flood."""


class LateAnswers:
    """The answers that no call has a use for.

    An attempt that nobody waits for any more is counted in `Link.withdrawn`, and may be answered once. A broker that
    goes on beyond that is left, and left alone for a time that grows (dialing.py).

    Attributes:
        count: how many there were.
    """

    __slots__ = ("_links", "count")

    def __init__(self, links: Links) -> None:
        self.count = 0
        self._links = links

    def on_answer(self, link: Link, command: int, size_bytes: int, now: float) -> None:
        """Handle a REPLY, WORKING, REJECT or LOST of no call that waits for it, and so long."""
        self.count += 1
        if command == WORKING:  # several may have been under way
            return
        if link.withdrawn:
            link.withdrawn -= 1
            return
        if now - link.unasked_since >= UNASKED_WITHIN_S:
            link.unasked_since, link.unasked = now, 0
        link.unasked += 1 + size_bytes // UNASKED_BYTES_EACH
        if link.unasked > UNASKED_MAX:
            self._links.give_up(link, Failure.UNASKED, now)
