"""The pure core of the Malamute bridge: what its programs say, and what they may be told.

mlm_client stops for good at a message that it does not expect, so what is sent here is little: OK, PONG, ERROR 500 and
the two DELIVERs. An OPEN is never answered by an ERROR, and nothing that is offered again is refused a second time.
"""

import random
from typing import Final

from braidmq.bridges.limits import PEERS_MAX
from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.mailboxes import Letter
from braidmq.bridges.malamute.options import MalamuteOptions
from braidmq.bridges.malamute.post import Post
from braidmq.bridges.malamute.requests import Requests
from braidmq.bridges.malamute.sessions import Session, Sessions, address_of
from braidmq.bridges.malamute.wire import Command
from braidmq.bridges.malamute.workers import Workers, token_of
from braidmq.bridges.port import BridgeCore, Job, Output, Peer, Rights, Send
from braidmq.errors import BraidError
from braidmq.messages import Reply

COUNTERS: Final = (
    "malformed",
    "dropped",
    "streams",
    "sessions",
    "forgotten",
    "requests",
    "replies",
    "errors",
    "cancelled",
    "mail",
    "mail_kept",
    "mail_dropped",
    "mail_expired",
    "offers",
    "denied",
    "deliveries",
    "answers",
    "late_answers",
    "foreign_answers",
    "lost",
    "not_run",
)

_STREAM_COMMANDS: Final = (Command.STREAM_WRITE, Command.STREAM_READ, Command.STREAM_CANCEL)

_ANSWERED: Final = (Command.MAILBOX_SEND, Command.SERVICE_SEND, Command.SERVICE_OFFER, *_STREAM_COMMANDS)
"""What is held, and answered by an ERROR, before an OPEN."""


class MalamuteCore(BridgeCore):
    """Speaks to Malamute's programs at one endpoint. See BridgeCore.

    Args:
        options: of the bridge.
        rights: who may serve what.
        rng: draws tokens; see Workers.
        payload_bytes_max: largest payload of the net.
    """

    def __init__(self, options: MalamuteOptions, rights: Rights, rng: random.Random, payload_bytes_max: int) -> None:
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._outputs: list[Output] = []
        self._sessions = Sessions(self._outputs, self.counters)
        self._post = Post(self._sessions, self.counters)
        self._requests = Requests(options, self._post, self._outputs, self.counters)
        self._workers = Workers(
            options, self._sessions, self._outputs, self.counters, rights, rng=rng, payload_bytes_max=payload_bytes_max
        )

    # -- inputs

    def on_message(self, peer: Peer, frames: list[bytes], now: float) -> None:
        """See BridgeCore."""
        message = wire.read(frames)
        if message is None or (message.command is Command.OPEN and not wire.speaks_malamute(message)):
            self.counters["malformed"] += 1
            peer.refused += 1
            return
        if self._sessions.get(peer) is None and len(self._sessions) >= PEERS_MAX:
            self.counters["dropped"] += 1
            peer.refused += 1
            return
        session = self._sessions.enter(peer, now)
        command = message.command
        if command is Command.OPEN:
            self._on_open(session, message, now)
        elif command is Command.CLOSE:
            self._on_close(session, now)
        elif session.opened:
            self._on_command(session, message, now, held=False)
        elif command is Command.PING or command in _ANSWERED:
            if command is not Command.PING:
                self._sessions.hold(session, message, now)
            self._sessions.send(session, wire.error(""), now)
        elif command not in (Command.CREDIT, Command.CONFIRM):
            self.counters["dropped"] += 1
            peer.refused += 1

    def on_gone(self, peer: Peer, now: float) -> None:
        """See BridgeCore."""
        session = self._sessions.get(peer)
        if session is not None:
            self._end(session, now)
            self._requests.leave(session)
            self._sessions.forget(session)

    def on_unsent(self, send: Send, now: float) -> None:
        """See BridgeCore."""
        message = wire.read(send.frames)
        assert message is not None
        if message.command is Command.MAILBOX_DELIVER:
            self._post.on_unsent(message, now)
        elif message.command is Command.SERVICE_DELIVER:
            token = token_of(message.sender)
            assert token is not None
            self._workers.on_unsent(token, now)

    def on_call_end(self, number: int, end: Reply | BraidError, now: float) -> None:
        """See BridgeCore."""
        self._requests.on_call_end(number, end, now)

    def on_job(self, job: Job, now: float) -> None:
        """See BridgeCore."""
        self._workers.on_job(job, now)

    def on_job_dropped(self, number: int, now: float) -> None:
        """See BridgeCore."""
        self._workers.on_job_dropped(number, now)

    def on_refused(self, member: str, service: str, now: float) -> None:
        """See BridgeCore. Its workers are not told: nothing that they could be sent would mean it."""
        self.counters["denied"] += 1
        self._workers.on_refused(member, service, now)

    def on_services(self, member: str, services: frozenset[str], now: float) -> None:
        """See BridgeCore. No program of Malamute's can ask for services."""

    def on_timer(self, now: float) -> None:
        """See BridgeCore."""
        for session in self._sessions.silent(now):
            self.counters["forgotten"] += 1
            self._end(session, now)
        self._sessions.drop_held(now)
        self._post.on_timer(now)

    def drain(self, now: float) -> None:
        """See BridgeCore."""
        self._requests.draining = True
        self._workers.drain()

    def end(self, now: float) -> None:
        """See BridgeCore. Clients find out by their PINGs, and open anew where the next bridge listens."""

    # -- outputs

    def take(self) -> list[Output]:
        """See BridgeCore."""
        outputs = self._outputs.copy()
        self._outputs.clear()
        return outputs

    def next_deadline(self) -> float | None:
        """See BridgeCore."""
        dues = (self._sessions.next_deadline(), self._post.next_deadline())
        return min((due for due in dues if due is not None), default=None)

    @property
    def idle(self) -> bool:
        """See BridgeCore."""
        return not self._requests and not self._workers

    # -- commands

    def _on_open(self, session: Session, message: wire.Message, now: float) -> None:
        """Open: answer at once, then do what was held, then bring what was kept."""
        address = address_of(session.peer, message.address)
        if session.opened and session.address != address:
            self._end(session, now)
        if not session.opened:
            self.counters["sessions"] += 1
            self._sessions.open(session, address)
        self._sessions.send(session, wire.OK, now)
        for held in self._sessions.release(session):
            self._on_command(session, held, now, held=True)
        self._post.hand_out(session, now)

    def _on_close(self, session: Session, now: float) -> None:
        """Close, and say so in any case: a client that is not answered waits for ever."""
        self._end(session, now)
        self.counters["dropped"] += len(self._sessions.release(session))
        self._sessions.send(session, wire.OK, now)

    def _on_command(self, session: Session, message: wire.Message, now: float, *, held: bool) -> None:
        command = message.command
        if command is Command.PING:
            self._sessions.send(session, wire.PONG, now)
            self._post.hand_out(session, now)
        elif command is Command.SERVICE_SEND:
            self._requests.on_send(session, message, now, held=held)
        elif command is Command.MAILBOX_SEND:
            self._on_mail(session, message, now)
        elif command is Command.SERVICE_OFFER:
            denial = self._workers.on_offer(session, message)
            self._confirm(session, message, denial, now, held=held)
            self._workers.begin(session, message, now)
        elif command in _STREAM_COMMANDS:
            self._confirm(session, message, "streams are not bridged", now, held=held)
        elif command is Command.STREAM_SEND:
            self.counters["streams"] += 1
        elif command not in (Command.CREDIT, Command.CONFIRM):
            self.counters["dropped"] += 1
            session.peer.refused += 1

    def _on_mail(self, session: Session, message: wire.Message, now: float) -> None:
        token = token_of(message.address)
        if token is not None:
            self._workers.on_answer(session, token, message, now)
            return
        mail = wire.mail(session.address, message.address, message.subject, message.tracker, message.content)
        self._post.send(Letter(mail, session.peer), now)

    def _confirm(self, session: Session, message: wire.Message, denial: str | None, now: float, *, held: bool) -> None:
        """Answer a command that its client waits for. What was denied is told once, and then it is as if it were done.

        A client asks again for all that it had asked for as soon as it has opened, so what was held needs no ERROR.
        """
        if denial is not None and message.command is Command.SERVICE_OFFER:
            self.counters["denied"] += 1
        told = denial is not None and session.refuses(
            (message.command, message.address or message.stream, message.pattern)
        )
        self._sessions.send(session, wire.error(denial) if denial is not None and told and not held else wire.OK, now)

    def _end(self, session: Session, now: float) -> None:
        """Take a program for gone."""
        if session.opened:
            self._sessions.end(session)
            self._workers.withdraw(session, now)

    def validate_state(self) -> None:
        """Assert that all tables agree. For tests."""
        assert len(self._sessions) <= PEERS_MAX
        for part in (self._sessions, self._post, self._requests, self._workers):
            part.validate_state()
