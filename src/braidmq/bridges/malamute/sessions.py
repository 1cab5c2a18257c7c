"""Who is behind the foreign connections: which have opened, under which address, and who was heard last."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec

from braidmq.bridges.limits import HELD_PER_PEER_MAX
from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.limits import (
    HELD_BYTES_MAX,
    HELD_BYTES_PER_PEER_MAX,
    HELD_S_MAX,
    LATE_S,
    OFFERS_PER_PEER_MAX,
    QUIET_S,
    SILENCE_S_MAX,
)
from braidmq.bridges.port import Output, Peer, Send

BRIDGE: Final = b"$braidmq"
"""Who sends mail that tells an error. Nobody else may be called so."""

Refused = tuple[int, bytes, bytes]
"""What was asked for and denied: a command, a service or stream, and a pattern."""


class Session(msgspec.Struct, eq=False):
    """One foreign connection, and the program behind it.

    Attributes:
        peer: its connection.
        opened: it has opened, and was not forgotten since.
        address: its mailbox; empty: it has none.
        heard: when it has sent something the last time.
        sent: when it was sent something the last time.
        assured: when it was sent a PONG that it had not asked for, the last time.
        deaf: something for it could not leave, and it has said nothing since.
        held: what it has sent before it opened.
        held_bytes: of these.
        held_until: when they are dropped.
        refused: what it was denied, and told so.
        calls: how many of its calls are under way.
        calls_bytes: the payloads of these.
    """

    peer: Peer
    opened: bool = False
    address: bytes = b""
    heard: float = 0.0
    sent: float = 0.0
    assured: float = 0.0
    deaf: bool = False
    held: list[wire.Message] = []
    held_bytes: int = 0
    held_until: float = 0.0
    refused: set[Refused] = set()
    calls: int = 0
    calls_bytes: int = 0

    def refuses(self, what: Refused) -> bool:
        """Note that something is denied; return whether that is to be told, which it is once.

        A client that is told opens anew, and asks for the same again: were it told each time, it would go round for
        ever.
        """
        if what in self.refused or len(self.refused) >= OFFERS_PER_PEER_MAX:
            return False
        self.refused.add(what)
        return True


def address_of(peer: Peer, claimed: bytes) -> bytes:
    """Return the mailbox of a program: what it claims, unless it has proven to be somebody else."""
    address = wire.cut(peer.user) if claimed and peer.user else claimed
    return b"" if address == BRIDGE else address


class Sessions:
    """All connections of one bridge that have said something.

    Args:
        outputs: where what is to be done goes.
        counters: see BridgeCore; `dropped` is counted here.
    """

    def __init__(self, outputs: list[Output], counters: dict[str, int]) -> None:
        self._outputs = outputs
        self._counters = counters
        self._by_peer: dict[Peer, Session] = {}
        self._by_address: dict[bytes, dict[Peer, Session]] = {}
        self._heard: OrderedDict[Peer, Session] = OrderedDict()
        self._holding: OrderedDict[Peer, Session] = OrderedDict()
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._by_peer)

    def get(self, peer: Peer) -> Session | None:
        """Return the session of a connection."""
        return self._by_peer.get(peer)

    def enter(self, peer: Peer, now: float) -> Session:
        """Return the session of a connection that is heard now."""
        session = self._by_peer.get(peer)
        if session is None:
            session = self._by_peer[peer] = Session(peer, sent=now)
        session.heard, session.deaf = now, False
        if session.opened:
            self._heard.move_to_end(peer)
        return session

    def open(self, session: Session, address: bytes) -> None:
        """Note that a program has opened."""
        session.opened, session.address = True, address
        self._heard[session.peer] = session
        if address:
            self._by_address.setdefault(address, {})[session.peer] = session

    def end(self, session: Session) -> None:
        """Note that a program has closed, or is forgotten."""
        session.opened = False
        del self._heard[session.peer]
        if session.address:
            others = self._by_address[session.address]
            del others[session.peer]
            if not others:
                del self._by_address[session.address]

    def forget(self, session: Session) -> None:
        """Note that a connection has ended. Its session has been ended before."""
        self.release(session)
        del self._by_peer[session.peer]

    def newest(self, address: bytes) -> Session | None:
        """Return the program that has opened under an address, the newest if there are several."""
        found = self._by_address.get(address)
        return None if found is None else found[next(reversed(found))]

    # -- what is sent

    def send(self, session: Session, frames: list[bytes], now: float) -> None:
        """Send a message."""
        session.sent = now
        self._outputs.append(Send(session.peer, frames))

    def deliver(self, session: Session, frames: list[bytes], now: float) -> None:
        """Send what a client drops that takes its server for gone: so a PONG goes ahead where that may be."""
        late = now >= session.heard + LATE_S > session.assured
        if late or now - session.sent >= QUIET_S:
            session.assured = now
            self.send(session, wire.PONG, now)
        self.send(session, frames, now)

    # -- what is held

    def hold(self, session: Session, message: wire.Message, now: float) -> None:
        """Keep what a program has sent before it opened: it had queued that while there was no bridge."""
        size = message.size
        if (
            len(session.held) >= HELD_PER_PEER_MAX
            or session.held_bytes + size > HELD_BYTES_PER_PEER_MAX
            or self._held_bytes + size > HELD_BYTES_MAX
        ):
            self._counters["dropped"] += 1
            return
        if not session.held:
            session.held_until = now + HELD_S_MAX
            self._holding[session.peer] = session
        session.held.append(message)
        session.held_bytes += size
        self._held_bytes += size

    def release(self, session: Session) -> list[wire.Message]:
        """Return what is held for a program, and hold it no longer."""
        held, session.held = session.held, []
        self._held_bytes -= session.held_bytes
        session.held_bytes = 0
        self._holding.pop(session.peer, None)
        return held

    # -- time

    def drop_held(self, now: float) -> None:
        """Drop what is held of programs that did not open."""
        while self._holding:
            session = next(iter(self._holding.values()))
            if session.held_until > now:
                return
            self._counters["dropped"] += len(self.release(session))

    def silent(self, now: float) -> Iterator[Session]:
        """Yield those that were silent for too long; each has to be ended before the next one."""
        while self._heard:
            session = next(iter(self._heard.values()))
            if session.heard + SILENCE_S_MAX > now:
                return
            yield session

    def next_deadline(self) -> float | None:
        """Return when `drop_held` or `silent` has something to do."""
        dues = [session.held_until for session in self._first(self._holding)]
        dues += [session.heard + SILENCE_S_MAX for session in self._first(self._heard)]
        return min(dues, default=None)

    @staticmethod
    def _first(table: dict[Peer, Session]) -> list[Session]:
        return [next(iter(table.values()))] if table else []

    def validate_state(self) -> None:
        """Assert that the tables agree. For tests."""
        sessions = self._by_peer.values()
        assert set(self._heard) == {each.peer for each in sessions if each.opened}
        assert set(self._holding) == {each.peer for each in sessions if each.held}
        assert self._held_bytes == sum(each.held_bytes for each in sessions) <= HELD_BYTES_MAX
        mailboxes = {(each.address, each.peer) for each in sessions if each.opened and each.address}
        assert {(address, peer) for address, those in self._by_address.items() for peer in those} == mailboxes
        assert all(self._by_address.values())
        assert BRIDGE not in self._by_address
        for each in sessions:
            assert len(each.held) <= HELD_PER_PEER_MAX
            assert len(each.refused) <= OFFERS_PER_PEER_MAX
