"""Lets an observer see every frame that a broker gets, and every message that it sends."""

from braidmq.members import Directory
from braidmq.observer import BrokerObserver


class Tap:
    """What an observer is told of frames and messages.

    `on_frame` comes before a frame is handled, `on_sends` before messages are given to the turn, `on_disconnect` last.
    It knows who has spoken over which connection, also for a moment after a session has ended.
    """

    __slots__ = ("_directory", "_members", "_observer")

    def __init__(self, observer: BrokerObserver, directory: Directory) -> None:
        self._observer = observer
        self._directory = directory
        self._members: dict[bytes, str] = {}

    def on_frame(self, route: bytes, principal: str, frame: bytes) -> None:
        """Tell of a frame that has come."""
        member = self._directory.member(principal)
        name = self._members[route] = "" if member is None else member.name
        self._observer.on_received(route, name, frame)

    def on_disconnect(self, route: bytes) -> None:
        """Forget a connection that is gone."""
        self._members.pop(route, None)

    def on_sends(self, sends: dict[bytes, list[bytes]]) -> None:
        """Tell of what is sent next."""
        for route, messages in sends.items():
            self._observer.on_sent(route, self._members.get(route, ""), messages)
