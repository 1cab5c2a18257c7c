"""The turn of a broker: the order in which its core is served, whatever carries its messages.

What has come is read first; what follows from it is sent at once, as others wait for it. Then comes the time, what the
core wishes of its connections to other brokers, and what it has to say after that.
"""

from braidmq.core.broker.broker import BrokerCore
from braidmq.core.links.link import Failure
from braidmq.turn.dialing import act, fail, note_step
from braidmq.turn.ports import Dialer, Host, Listener


class BrokerTurn:
    """Serves one BrokerCore.

    Attributes:
        due: when the next turn is due, as of the last one.

    Args:
        core: the broker.
        listener: the connections of its members.
        dialer: its connections to other brokers.
        host: its process.
    """

    def __init__(self, core: BrokerCore, listener: Listener, dialer: Dialer, host: Host) -> None:
        self.core = core
        self.due = float("-inf")
        self._listener = listener
        self._dialer = dialer
        self._host = host

    def run(self, now: float) -> float:
        """Read what has come, do what is due, send and tell what follows; return when the next turn is due."""
        core, listener = self.core, self._listener
        frames = list(listener.frames(now))
        if len(frames) > 1:
            latest = {route: frame for route, _, frame in frames}
            if len(latest) < len(frames):
                for route, frame in latest.items():
                    core.on_latest(route, frame, now)
        for route, principal, frame in frames:
            core.on_frame(route, principal, frame, now)
        for route, principal, what in listener.breaches():
            core.on_breach(route, principal, what, now)
        self._read_peers(now)
        self._send(now)
        if now >= self.due:
            core.on_timer(now)
        listener.flush(now)
        self.settle(now)
        due, other = core.next_deadline(), listener.next_deadline()
        self.due = due if other is None or due < other else other
        return self.due

    def settle(self, now: float) -> None:
        """Do what the core asks for, until nothing more follows from it."""
        core, dialer = self.core, self._dialer
        act(core, dialer, self._host, now)
        for name, messages in core.take_peer_sends().items():
            dialer.send(name, messages)
        dialer.flush()
        for name, failure in dialer.look_after():
            fail(core, dialer, name, failure, now)
        self._send(now)
        self._drop_gone(now)
        for event in core.take_events():
            self._host.tell(event)

    def _read_peers(self, now: float) -> None:
        core, dialer = self.core, self._dialer
        for name, what in dialer.news():
            if isinstance(what, Failure):
                fail(core, dialer, name, what, now)
            else:
                note_step(core, name, what, now)
        for name, frame in dialer.frames():
            core.on_peer_frame(name, frame, now)

    def _send(self, now: float) -> None:
        core, listener = self.core, self._listener
        while sends := core.take_sends():
            for route, request in listener.send(sends):
                core.on_dropped(route, request, now)
            self._drop_gone(now)
        for route in core.take_cuts():
            listener.cut(route)

    def _drop_gone(self, now: float) -> None:
        for route, unsent in self._listener.take_gone(now):
            self.core.on_unsent(route, unsent, now)
            self.core.on_disconnect(route, now)
