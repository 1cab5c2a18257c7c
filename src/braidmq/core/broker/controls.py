"""What members say to a broker besides requests and answers: the control messages, and what follows from each."""

from collections.abc import Callable
from typing import Any, Final

from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.key_usage import KeyUsage
from braidmq.core.broker.observers import Observers
from braidmq.core.broker.operations import Operations
from braidmq.core.broker.outgoing import Outgoing
from braidmq.core.broker.refusals import Refusals, Refused
from braidmq.core.broker.registrar import Registrar
from braidmq.core.broker.session_life import SessionLife
from braidmq.core.broker.transit import Session, SessionState
from braidmq.core.membership.peering import PeeringCore
from braidmq.errors import ProtocolError
from braidmq.members import Role
from braidmq.wire import control
from braidmq.wire.control import Bridging, Goodbye, Heartbeat, Hello, Ready, Status
from braidmq.wire.gossip import Gossiped, Paths, Seek
from braidmq.wire.kinds import by_number, kinds_of
from braidmq.wire.operation import Operate
from braidmq.wire.registry import RegistryPart

SEEKS_PER_TICK: Final = 64
"""SEEKs of one key that are answered between two ticks: a node that starts may seek many services, and asks again."""

NODE_CONTROL_BYTES_MAX: Final = 4_096
"""Longest control message of a node: names, numbers and a text of 255 characters."""

_GOSSIPED: Final = frozenset(kind.NUMBER for kind in kinds_of(Gossiped))


class Controls:
    """Handles the control messages of all sessions of one broker.

    `on_control` raises ProtocolError for what its sender may not say, or cannot be read. `pass_answers` sends what the
    membership has to say over sessions: after each of their messages, and with each tick. `sessions` is the broker's
    own table.
    """

    __slots__ = (
        "_dispatcher", "_handlers", "_life", "_observers", "_operations", "_outgoing", "_peering", "_refusals",
        "_registrar", "_seeking", "_sessions",
    )  # fmt: skip

    def __init__(
        self,
        sessions: dict[bytes, Session],
        dispatcher: Dispatcher,
        life: SessionLife,
        observers: Observers,
        operations: Operations,
        *,
        peering: PeeringCore,
        outgoing: Outgoing,
        refusals: Refusals,
        registrar: Registrar | None = None,
    ) -> None:
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._life = life
        self._observers = observers
        self._operations = operations
        self._peering = peering
        self._outgoing = outgoing
        self._refusals = refusals
        self._registrar = registrar
        self._seeking: dict[KeyUsage, None] = {}
        self._handlers: dict[int, Callable[[Session, Any, float], None]] = by_number(
            {
                Hello: self._on_hello,
                Ready: self._on_ready,
                Goodbye: self._on_goodbye,
                Status: self._on_status,
                Bridging: self._on_bridging,
                Seek: self._on_seek,
                Operate: operations.on_operate,
                **dict.fromkeys(kinds_of(Gossiped), self._on_gossip),
            }
        )
        if registrar is not None:
            self._handlers.update(registrar.handlers)

    def on_control(self, session: Session, command: int, message: bytes, now: float) -> None:
        """Handle a control message of a session."""
        if session.member.role is not Role.BROKER:
            if command in _GOSSIPED:
                self._refusals.note(Refused.ROLE, session.member.name, now, quiet=True)
                raise ProtocolError("what only brokers may say")
            long = command != Heartbeat.NUMBER and len(message) > NODE_CONTROL_BYTES_MAX
            if long and not (command == RegistryPart.NUMBER and session.member.publish):
                raise ProtocolError(f"a control message of {len(message)} bytes")
        handler = self._handlers.get(command)
        if handler is not None:  # others are not even decoded: lists of services cost much memory
            handler(session, control.decode_control(message), now)

    def on_tick(self) -> None:
        """Let each key seek again."""
        for usage in self._seeking:
            usage.seeks = 0
        self._seeking.clear()

    def pass_answers(self, now: float) -> None:
        """Send what the membership has for peers that are connected to this broker, but not the other way round."""
        answers = self._peering.take_answers()
        if answers:
            for session in reversed(self._sessions.values()):  # of several the newest: an old one may be dead
                for message in answers.pop(session.member.name, ()):
                    self._outgoing.send_control(session, message, now)

    # -- inner

    def _on_hello(self, session: Session, hello: Hello, now: float) -> None:
        session.instance = hello.instance
        session.paced = hello.paced
        self._operations.on_hello(session, now)
        if self._registrar is not None:
            self._registrar.on_hello(session, hello, now)

    def _on_ready(self, session: Session, ready: Ready, now: float) -> None:
        self._life.tell_of(session)
        self._dispatcher.offers.on_ready(session, ready, now)

    def _on_goodbye(self, session: Session, goodbye: Goodbye, now: float) -> None:
        if goodbye.reason == "noted":
            session.noted = True
        else:
            self._life.set_state(session, SessionState.LEAVING, now)
            self._dispatcher.offers.remove_all(session, now)
            self._outgoing.send_control(session, Goodbye("noted"), now)

    def _on_status(self, session: Session, status: Status, _now: float) -> None:
        self._observers.add(session, status.claims)

    def _on_bridging(self, session: Session, told: Bridging, _now: float) -> None:
        session.bridge = told.bridge

    def _on_seek(self, session: Session, seek: Seek, now: float) -> None:
        usage = session.usage
        if usage.seeks < SEEKS_PER_TICK and session.member.may_call(seek.service):
            usage.seeks += 1
            self._seeking[usage] = None
            self._outgoing.send_control(session, Paths(seek.service, self._peering.offers(seek.service)), now)

    def _on_gossip(self, session: Session, gossip: Gossiped, now: float) -> None:
        self._peering.on_message(session.member.name, gossip, now)
        self.pass_answers(now)
