"""Members that were connected to a broker and are not any more: when each was heard last."""

from collections.abc import Callable, Container
from typing import Final

from braidmq.wire.registry_status import SeenStatus

SEEN_MAX: Final = 10_000
"""Members that are remembered, those that were heard longest ago are forgotten first: as many as may be connected."""


class LastSeen:
    """When members were heard last whose sessions have ended, since the start of this broker."""

    __slots__ = ("_heard",)

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}

    def note(self, name: str, heard_at: float) -> None:
        """Note that a session of a member has ended, and when it was heard last."""
        before = self._heard.pop(name, heard_at)
        self._heard[name] = max(before, heard_at)
        if len(self._heard) > SEEN_MAX:
            del self._heard[next(iter(self._heard))]

    def keep(self, is_member: Callable[[str], bool]) -> None:
        """Forget who is no member any more: another one may have the name."""
        for name in [each for each in self._heard if not is_member(each)]:
            del self._heard[name]

    def rows(self, present: Container[str], now: float, most: int) -> list[SeenStatus]:
        """Return when those were heard last who are not `present`, the latest first, at most `most` of them."""
        found: list[SeenStatus] = []
        for name, heard_at in reversed(self._heard.items()):
            if len(found) >= most:
                break
            if name not in present:
                found.append(SeenStatus(name, max(0, int(now - heard_at))))
        return found

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert len(self._heard) <= SEEN_MAX
