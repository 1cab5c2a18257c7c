"""A broker in hostile hands: `python -m attacks.rogue LIE SEED broker --join FILE ...`.

It is `braidmq broker` with cores that lie, from a line "begin" on its stdin until another one.
"""

import os
import random
import sys
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

from attacks.attacker import NICENESS
from attacks.curve import INNER_COMMAND, PING
from attacks.lies import LIES
from braidmq import cli
from braidmq.carrier import broker_loop, listener
from braidmq.carrier.peer import Peer
from braidmq.core.broker.broker import BrokerCore
from braidmq.core.broker.transit import Session
from braidmq.core.membership.peering import PeeringCore
from braidmq.errors import ProtocolError
from braidmq.members import Role
from braidmq.wire.bundle import join, split
from braidmq.wire.envelope import PREFIX_BYTES, REQUEST, command_of, decode
from braidmq.zmtp.engine import HEAD_BYTES

GOSSIP_S: Final = 0.02
"""How often it lies to the other brokers, at most."""

lie_name, seed = "", ""
lying = threading.Event()


class LyingCore(BrokerCore):
    """A broker's core that lies while it is told to."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._lies: dict[bytes, list[bytes]] = {}
        self.lie = LIES[lie_name](self, self._say, random.Random(seed))
        self._began = False
        if isinstance(self.peering, LyingPeering):
            self.peering.gossip = self.lie.gossip

    def on_frame(self, route: bytes, principal: str, frame: bytes, now: float) -> None:
        """Let the lie have clients' requests first."""
        session = self.sessions.get(route)
        if session is None or not self._lies_now() or session.member.role is Role.BROKER:
            super().on_frame(route, principal, frame, now)
            return
        session.heard_at = now
        kept = [message for message in split(frame)[0] if not self._taken(session, message)]
        for bundle, _ in join(kept) if kept else ():
            super().on_frame(route, principal, bundle, now)

    def on_timer(self, now: float) -> None:
        """Let the lie have its tick."""
        super().on_timer(now)
        if self._lies_now():
            self.lie.on_tick(now)

    def take_sends(self) -> dict[bytes, list[bytes]]:
        """Let the lie change what is sent."""
        sends = super().take_sends()
        if not self._lies_now():
            return sends
        changed: dict[bytes, list[bytes]] = {}
        for route, messages in sends.items():
            session = self.sessions.get(route)
            said = [message if session is None else self.lie.change(session, message) for message in messages]
            if kept := [message for message in said if message is not None]:
                changed[route] = kept
        lies, self._lies = self._lies, {}
        for route, messages in lies.items():
            changed.setdefault(route, []).extend(messages)
        return changed

    def _say(self, session: Session, message: bytes) -> None:
        self._lies.setdefault(session.route, []).append(message)

    def _lies_now(self) -> bool:
        if not lying.is_set():
            self._began = False
        elif not self._began:
            self._began = True
            self.lie.on_begin()
        return self._began

    def _taken(self, session: Session, message: bytes) -> bool:
        if command_of(message) != REQUEST or len(message) < PREFIX_BYTES:
            self.lie.on_answer(session, command_of(message))
            return False
        try:
            return self.lie.on_request(session, decode(message))
        except ProtocolError:
            return False


class LyingPeering(PeeringCore):
    """A broker's part among the brokers that lies while it is told to."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.gossip: Any = list
        self._gossip_at = 0.0

    def take_sends(self) -> dict[str, list[bytes]]:
        """Let the lie add to what is sent."""
        sends = super().take_sends()
        now = monotonic()
        if lying.is_set() and now >= self._gossip_at and (lies := self.gossip()):
            self._gossip_at = now + GOSSIP_S
            for row in self.rows(now):
                sends.setdefault(row.name, []).extend(lies)
        return sends


class LyingPeer(Peer):
    """A connection of a member over which a lie can say PING of the transport. One that takes no more gets none."""

    __slots__ = ()

    def send(self, messages: list[bytes]) -> Sequence[bytes]:
        """Send messages; those that are a PING go as the command, each by itself."""
        for _ in range(messages.count(PING)):
            if self.blocked:
                break
            room = self._rooms.outbox_for(len(PING))
            end = HEAD_BYTES + len(PING)
            room.view[HEAD_BYTES:end] = PING
            begin = self._engine._seal(room, len(PING), INNER_COMMAND)  # noqa: SLF001 - no honest side says PING
            self._write_frame(room.view[begin:end], [])
        return super().send([message for message in messages if message != PING])


def _listen() -> None:
    for line in sys.stdin:
        (lying.set if line.strip() == "begin" else lying.clear)()


if __name__ == "__main__":
    lie_name, seed = sys.argv[1:3]
    os.nice(NICENESS)
    threading.Thread(target=_listen, daemon=True).start()
    broker_loop.BrokerCore = LyingCore  # type: ignore[attr-defined]  # where the loop finds it
    listener.Peer = LyingPeer  # type: ignore[attr-defined]  # where it makes them
    broker_loop.PeeringCore = LyingPeering  # type: ignore[attr-defined]  # where the loop finds it
    sys.exit(cli.run(sys.argv[3:]))
