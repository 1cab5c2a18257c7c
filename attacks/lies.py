"""What a hostile broker does besides its work: one class for each lie.

A lie sees the requests of clients before the broker does, and may keep them; it changes what the broker sends; and it
says what it likes to whom it likes, at each tick.
"""

import os
import random
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from attacks.arms import said, written
from attacks.curve import PING
from attacks.frames import Fuzz, full
from braidmq.core.broker.broker import BrokerCore
from braidmq.core.broker.transit import Session
from braidmq.lab.simulation.payload import answer_to, payload_of
from braidmq.members import Role
from braidmq.wire import control
from braidmq.wire.envelope import (
    LOST,
    REJECT,
    REPLY,
    REQUEST,
    WORKING,
    Envelope,
    Reason,
    command_of,
)
from braidmq.wire.gossip import Gossip, Rumor, Sync
from braidmq.wire.registry import CertificateIs, RosterIs
from faults.worker import SERVICE

IDS_AHEAD: Final = 399
"""How many ids behind one that it has seen a poisoner takes: they are drawn once for a process, and then counted."""

POISON_PER_TICK: Final = 20
"""Of these, how many go to each worker in a tick: it refuses those for which it has no place."""

UINT64: Final = (1 << 64) - 1

TINY_PER_TICK: Final = 20
"""Bundles of tiny messages to each node in each tick of 40 ms: some 100,000 messages in a tick."""

PINGS_PER_TICK: Final = 1_000
"""PINGs to each node in each tick: 25,000 in a second, as far as it takes them."""

GREEDY_REQUESTS: Final = 4
"""Further requests to each worker in each tick by a broker that keeps to no credit, beside one for each answer."""

GONE_S: Final = 1.0
"""How long a broker floods before it ends, with all its connections full."""

FUZZ_PER_TICK: Final = 25
"""Frames to everybody in each tick: some 5,000 each second to all."""

PAPERS_PER_TICK: Final = 200
"""How often each node gets each of its papers in a tick."""

BLOB_BYTES: Final = 300

FORGED: Final = payload_of("forged", 64)


class Lie:
    """Tells the truth. `say` sends a message over a session, `broker` is who lies, and `rng` draws."""

    def __init__(self, broker: BrokerCore, say: Callable[[Session, bytes], None], rng: random.Random) -> None:
        self.broker = broker
        self.say = say
        self.rng = rng

    def on_begin(self) -> None:
        """From now on it lies."""

    def on_request(self, session: Session, request: Envelope) -> bool:
        """Handle a client's request; return whether the broker is not to hear of it."""
        return False

    def on_answer(self, session: Session, command: int) -> None:
        """Note that a node has said something else than a request."""

    def change(self, session: Session, message: bytes) -> bytes | None:
        """Return what is sent in the place of a message; None for nothing."""
        return message

    def on_tick(self, now: float) -> None:
        """Do what is due."""

    def gossip(self) -> list[bytes]:
        """Return what the other brokers are told besides."""
        return []

    # -- for those that lie

    def nodes(self) -> list[Session]:
        """Return the sessions of nodes."""
        return [each for each in self.broker.sessions.values() if each.member.role is Role.NODE]

    def workers(self) -> list[Session]:
        """Return the sessions of workers."""
        return [each for each in self.nodes() if each.member.may_serve(SERVICE)]

    def ask(self, worker: Session, id_: bytes, sender: bytes, payload: bytes) -> None:
        """Send a worker a request in somebody's name."""
        tag = self.rng.getrandbits(32)
        asked = Envelope(
            REQUEST, id_, tag=tag, time_ms=5_000, service=SERVICE.encode(), sender=sender, payload=payload,
            receiver=worker.name,
        )  # fmt: skip
        self.say(worker, written(asked))

    def answer(self, session: Session, request: Envelope, command: int, code: int = 0, payload: bytes = b"") -> None:
        """Answer a client's request."""
        sender = self.broker.name.encode()
        self.say(
            session, written(Envelope(command, request.id, tag=request.tag, code=code, sender=sender, payload=payload))
        )


class NoPayload(Lie):
    """Welcomes everybody with a payload limit of 0."""

    def on_begin(self) -> None:
        """Send everybody away, so that they come back and are welcomed."""
        for session in self.nodes():
            self.say(session, said(control.Goodbye("ended")))

    def change(self, session: Session, message: bytes) -> bytes | None:
        """See Lie."""
        if command_of(message) != control.Welcome.NUMBER:
            return message
        return said(control.Welcome(self.broker.name, session.member.name, 1000, 0))


def answering(command: int, code: int = 0) -> type[Lie]:
    """Return what answers each request at once in one way."""

    class Answering(Lie):
        def on_request(self, session: Session, request: Envelope) -> bool:
            self.answer(session, request, command, code)
            return True

    return Answering


class Silent(Lie):
    """Takes requests, and says nothing of them; it says that it is there."""

    def on_request(self, session: Session, request: Envelope) -> bool:
        """See Lie."""
        return True


class Mute(Silent):
    """Welcomes, and says nothing else to nodes."""

    def change(self, session: Session, message: bytes) -> bytes | None:
        """See Lie."""
        return message if command_of(message) == control.Welcome.NUMBER or session.member.role is Role.BROKER else None


class Working(Lie):
    """Says of each request that it is being worked on, for ever."""

    def on_begin(self) -> None:
        """See Lie."""
        self._held: list[tuple[Session, Envelope]] = []

    def on_request(self, session: Session, request: Envelope) -> bool:
        """See Lie."""
        self._held.append((session, request))
        return True

    def on_tick(self, now: float) -> None:
        """See Lie."""
        for session, request in self._held[-2_000:]:
            self.answer(session, request, WORKING)


class Greedy(Lie):
    """Keeps far more requests at each worker than it has granted."""

    def on_tick(self, now: float) -> None:
        """Ask anew, in case that answers were lost."""
        for worker in self.workers():
            for _ in range(GREEDY_REQUESTS):
                self._ask_again(worker)

    def on_answer(self, session: Session, command: int) -> None:
        """See Lie."""
        if command in (REPLY, REJECT) and session.member.may_serve(SERVICE):
            self._ask_again(session)

    def _ask_again(self, worker: Session) -> None:
        self.ask(worker, b"\1" + self.rng.randbytes(15), b"c1", payload_of("greedy", 64))


class Tiny(Lie):
    """Floods nodes with tiny messages."""

    def on_tick(self, now: float) -> None:
        """See Lie."""
        bundle = full(said(control.Heartbeat()))
        for node in self.nodes():
            for _ in range(TINY_PER_TICK):
                self.say(node, bundle)


class Gone(Tiny):
    """Does so for a moment, and is gone."""

    def on_begin(self) -> None:
        """See Lie."""
        threading.Timer(GONE_S, os._exit, (0,)).start()


class Pings(Lie):
    """Sends nodes PING of the transport without end."""

    def on_tick(self, now: float) -> None:
        """See Lie."""
        for node in self.nodes():
            for _ in range(PINGS_PER_TICK):
                self.say(node, PING)


class Rumours(Lie):
    """Tells the other brokers again and again that each of them is dead, and of brokers that never were."""

    def gossip(self) -> list[bytes]:
        """See Lie."""
        names = [row.name for row in self.broker.peering.rows(0.0)]
        flapping = [
            Rumor(name, self.rng.randrange(1 << 20), self.rng.choice(("suspect", "dead", "alive"))) for name in names
        ]
        false = [
            Rumor(f"x{self.rng.randrange(10_000)}", 1, "alive", "", self.rng.randbytes(BLOB_BYTES)) for _ in range(200)
        ]
        return [said(Gossip(flapping[:16])), said(Sync(flapping[:16] + false))]


class Poisoner(Lie):
    """Sees the id of a request, and has workers run the next ones in its client's name, with payloads of its own."""

    def on_begin(self) -> None:
        """See Lie."""
        self._taken: dict[tuple[bytes, bytes], int] = {}
        self._waiting: deque[tuple[bytes, bytes]] = deque()

    def on_request(self, session: Session, request: Envelope) -> bool:
        """See Lie."""
        prefix, number = request.id[:8], int.from_bytes(request.id[8:])
        first = max(number, self._taken.get((session.name, prefix), 0)) + 1
        for ahead in range(first, min(number + IDS_AHEAD, UINT64) + 1):
            self._waiting.append((session.name, prefix + ahead.to_bytes(8)))
            self._taken[session.name, prefix] = ahead
        return False

    def on_tick(self, now: float) -> None:
        """See Lie."""
        for _ in range(min(POISON_PER_TICK, len(self._waiting))):
            name, id_ = self._waiting.popleft()
            for worker in self.workers():
                self.ask(worker, id_, name, FORGED)


class Replayer(Lie):
    """Keeps requests, has workers run others under their ids, and so poisons what comes over honest brokers later."""

    def on_request(self, session: Session, request: Envelope) -> bool:
        """See Lie."""
        for worker in self.workers():
            self.ask(worker, request.id, session.name, FORGED)
        return True


class Forger(Lie):
    """Answers requests itself, with the answer to another one."""

    def on_request(self, session: Session, request: Envelope) -> bool:
        """See Lie."""
        self.answer(session, request, REPLY, payload=answer_to(FORGED))
        return True


class Papers(Lie):
    """Sends nodes lists of brokers and certificates that nobody has signed, and their own list again and again."""

    def on_tick(self, now: float) -> None:
        """See Lie."""
        registrar = self.broker.registrar
        assert registrar is not None, "its registry moves"
        forged = [said(RosterIs(self.rng.randbytes(BLOB_BYTES))), said(CertificateIs(self.rng.randbytes(BLOB_BYTES)))]
        for node in self.nodes():
            known = [said(message) for message in registrar.papers_of(node.usage.principal)]
            for _ in range(PAPERS_PER_TICK):
                for message in (*forged, *known):
                    self.say(node, message)


class Fuzzer(Lie):
    """Says anything to everybody."""

    def on_begin(self) -> None:
        """See Lie."""
        self._fuzz = Fuzz(self.rng)

    def on_tick(self, now: float) -> None:
        """See Lie."""
        for session in self.broker.sessions.values():
            for _ in range(FUZZ_PER_TICK):
                self.say(session, self._fuzz.frame("broker"))


LIES: Final[dict[str, type[Lie]]] = {
    "no-payload": NoPayload,
    "busy": answering(REJECT, Reason.BUSY),
    "denied": answering(REJECT, Reason.DENIED),
    "no-worker": answering(REJECT, Reason.NO_WORKER),
    "expired": answering(REJECT, Reason.EXPIRED),
    "too-large": answering(REJECT, Reason.TOO_LARGE),
    "draining": answering(REJECT, Reason.DRAINING),
    "lost": answering(LOST),
    "silent": Silent,
    "mute": Mute,
    "working": Working,
    "greedy": Greedy,
    "tiny": Tiny,
    "gone": Gone,
    "pings": Pings,
    "rumours": Rumours,
    "poisoner": Poisoner,
    "replayer": Replayer,
    "forger": Forger,
    "papers": Papers,
    "fuzzer": Fuzzer,
}
"""The lies by name."""
