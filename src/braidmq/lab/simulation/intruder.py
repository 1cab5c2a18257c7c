"""A registered member that has turned on the others: it has read everything, and says whatever may do harm.

It holds its own key only: CURVE lets nobody write into another's connection. But it may use the routing id of another
connection, once that has ended; and it knows all ids and tags.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from braidmq.core.links.link import Step
from braidmq.errors import ProtocolError
from braidmq.lab.simulation.dealers import Dealers
from braidmq.lab.simulation.network import Connection, Pipe
from braidmq.lab.simulation.payload import key_of, key_of_answer, payload_of
from braidmq.lab.simulation.process import Process
from braidmq.lab.simulation.record import End
from braidmq.lab.simulation.registry import principal_of
from braidmq.wire import control, gossip
from braidmq.wire.bundle import split
from braidmq.wire.envelope import (
    CANCEL,
    LOST,
    PREFIX_BYTES,
    REJECT,
    REPLY,
    REQUEST,
    WORKING,
    Envelope,
    Reason,
    command_of,
    decode,
    encode,
    head_of,
)
from braidmq.wire.kinds import Control
from braidmq.wire.limits import ROUTE_BYTES

if TYPE_CHECKING:
    from braidmq.lab.simulation.net import Net

EVERY_S: Final = 0.03
"""How often it does something, on average."""

HEARD_MAX: Final = 100
"""Messages that it remembers."""

PROMPT_SHARE: Final = 0.3
"""The share of requests that it answers in the place of their worker, at once."""

STOLEN_SHARE: Final = 0.5
"""The share of its connections that use somebody else's routing id, if it knows one."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A message, and the connection that it went through."""

    message: bytes
    connection: Connection
    from_broker: bool


class Intruder(Process):
    """A process that hears the network by `on_heard`, and says in its turns what it has kept or made up.

    It lives from its start to `kill`, and what it finds that nobody may see goes into the record as a breach.
    """

    NAME: Final = "mallory"

    def __init__(self, net: Net) -> None:
        super().__init__(net.world, self.NAME)
        self._net = net
        self._rng = net.world.chance(self.NAME)
        self._asked: set[str] = set()
        self._stolen: set[str] = set()
        self._heard: deque[_Heard] = deque(maxlen=HEARD_MAX)
        self._dealers = Dealers(
            self, net.network, net.routes_of, principal=principal_of(self.NAME),
            outbox_bytes_max=1 << 20, rng=net.world.chance("routes of mallory"),
        )  # fmt: skip
        self._attacks: tuple[Callable[[], bytes], ...] = (
            self._garbage,
            self._cut_off,
            self._replay,
            self._answer_for_another,
            self._cancel_for_another,
            self._ask_with_anothers_id,
            self._offer,
            self._say_anything,
        )

    def kill(self) -> None:
        """End at once."""
        self._net.network.eavesdropper = None
        self._dealers.close_all()
        self.end()

    def _drain(self, now: float) -> None:
        self.kill()  # it has no manners

    def _begin(self) -> None:
        self._heard.clear()
        self._net.network.eavesdropper = self
        for name in self._net.brokers:
            self._connect(name)
        self.later(EVERY_S, self._attack)

    def _turn(self, now: float) -> float:
        for name, what in self._dealers.news():
            if isinstance(what, Step):
                self._say(name, control.encode_control(control.Hello("mallory"), 0))
            else:
                self._dealers.close(name)
                self.later(self._rng.uniform(0.0, 0.2), lambda name=name: self._connect(name))  # type: ignore[misc]
        for name, frame in self._dealers.frames():
            self._read(name, frame)
        self._dealers.flush()
        return now + 1.0

    # -- what it hears

    def on_heard(self, connection: Connection, pipe: Pipe, frame: bytes) -> None:
        """Handle what others say (see Eavesdropper); some requests to workers it answers before they can."""
        if connection.dealers is self._dealers:
            return
        from_broker = pipe is connection.inward
        for message in split(frame)[0]:
            heard = _Heard(message, connection, from_broker)
            self._heard.append(heard)
            if _is_request(message) and self._rng.random() < PROMPT_SHARE:
                self.later(0.0, lambda heard=heard: self._act_at_once(heard))  # type: ignore[misc]

    def _act_at_once(self, heard: _Heard) -> None:
        """Answer a request before its worker can, or make one with its id before it gets there."""
        frame = self._answer_to(heard) if heard.from_broker else self._ask_like(*_id_and_tag(heard.message))
        self._say(heard.connection.router.process.name, frame)

    def _read(self, broker: str, frame: bytes) -> None:
        """Look whether a broker has sent something that was meant for others, or a request that it may not have.

        What goes to a stolen routing id is no breach: whoever may choose one knows the risk (see Connection). Nor is
        what a hostile broker says, which makes up what it likes.
        """
        if broker in self._stolen or broker in self.world.record.liars:
            return
        for message in split(frame)[0]:
            if len(message) < PREFIX_BYTES or command_of(message) not in (REQUEST, REPLY):
                continue
            found = decode(message)
            key = key_of_answer(found.payload)
            if found.command == REQUEST:
                self._breach(f"got a request from {broker}")
            elif key and key not in self._asked:
                self._breach(f"got the answer to {key} from {broker}, which it has not asked for")

    def _breach(self, why: str) -> None:
        self.world.record.breaches.append(End(self.world.now, self.name, why))

    # -- what it does

    def _attack(self) -> None:
        name, draw = self._rng.choice(list(self._net.brokers)), self._rng.random()
        if draw < 0.1:
            self._connect(name)
        elif draw < 0.2:
            self._take_over()
        else:
            self._say(name, self._rng.choice(self._attacks)())
        self.later(self._rng.uniform(0.0, 2 * EVERY_S), self._attack)

    def _connect(self, name: str) -> None:
        """Connect anew, with the routing id of another connection if one is known."""
        routes = [each.connection.route for each in self._heard if each.connection.router.process.name == name]
        if routes and self._rng.random() < STOLEN_SHARE:
            self._open_as(name, self._rng.choice(routes), stolen=True)
        else:
            self._open_as(name, b"\1" + self._rng.randbytes(ROUTE_BYTES - 1), stolen=False)

    def _open_as(self, name: str, route: bytes, *, stolen: bool) -> None:
        self._dealers.close(name)
        self._dealers.open_as(name, route)
        (self._stolen.add if stolen else self._stolen.discard)(name)

    def _take_over(self) -> None:
        """Break somebody's connection, and be there with its routing id before the broker can have noticed."""
        connections = list({each.connection: None for each in self._heard})
        if connections:
            connection = self._rng.choice(connections)
            name = connection.router.process.name
            self._net.network.reset(connection)
            after_s = self._rng.uniform(0.0, self._net.plan.delay_s[1])
            self.later(after_s, lambda: self._open_as(name, connection.route, stolen=True))

    def _say(self, name: str, frame: bytes) -> None:
        for message in split(frame)[0]:
            if _is_request(message):
                with suppress(ProtocolError):
                    self._asked.add(key_of(decode(message).payload))
        self._dealers.send(name, [frame])

    def _garbage(self) -> bytes:
        return self._rng.randbytes(self._rng.choice((0, 1, 11, 12, 60, 500)))

    def _cut_off(self) -> bytes:
        message = self._replay()
        return message[: self._rng.randint(0, len(message))]

    def _replay(self) -> bytes:
        return self._rng.choice(self._heard).message if self._heard else b""

    def _answer_for_another(self) -> bytes:
        requests = [each for each in self._heard if each.from_broker and _is_request(each.message)]
        return self._answer_to(self._rng.choice(requests)) if requests else b""

    def _answer_to(self, request: _Heard) -> bytes:
        id_, tag = _id_and_tag(request.message)
        command = self._rng.choice((REPLY, REPLY, WORKING, REJECT, LOST))
        code = int(self._rng.choice(tuple(Reason))) if command == REJECT else 0
        sender = request.connection.dealers.process.name.encode()
        return encode(Envelope(command, id_, tag=tag, sender=sender, code=code, payload=b"forged"))

    def _cancel_for_another(self) -> bytes:
        id_, tag, sender = self._someones_request()
        return encode(Envelope(CANCEL, id_, tag=tag, sender=sender))

    def _ask_with_anothers_id(self) -> bytes:
        id_, tag, _ = self._someones_request()
        return self._ask_like(id_, tag)

    def _ask_like(self, id_: bytes, tag: int) -> bytes:
        sender = self._rng.choice(list(self._net.nodes)).encode()
        service = self._rng.choice(self._net.plan.services).encode()
        payload = payload_of(f"{self.NAME}:{self._rng.randrange(1000)}")
        return encode(
            Envelope(
                REQUEST, id_, tag=tag, sender=sender, service=service, time_ms=1000, working_ms=100, payload=payload
            )
        )

    def _offer(self) -> bytes:
        service = self._rng.choice(self._net.plan.services)
        return control.encode_control(control.Ready(service, self._rng.choice((0, 1, 1_000_000))), 0)

    def _say_anything(self) -> bytes:
        broker = self._rng.choice(list(self._net.brokers))
        said: Control = self._rng.choice(
            (
                control.Hello("mallory"),
                control.Goodbye("draining"),
                control.Goodbye("noted"),
                control.Status(),
                control.Heartbeat(),
                gossip.Gossip([gossip.Rumor(broker, 1000, "dead")]),
                gossip.Sync([gossip.Rumor(broker, 1000, "dead")]),
                gossip.Seek(self._rng.choice(self._net.plan.services)),
            )
        )
        return control.encode_control(said, 0)

    def _someones_request(self) -> tuple[bytes, int, bytes]:
        """Return the id and the tag of a request that is or was under way, and a name."""
        requests = [each.message for each in self._heard if _is_request(each.message)]
        name = self._rng.choice(list(self._net.nodes)).encode()
        if not requests:
            return bytes(16), 1, name
        id_, tag = _id_and_tag(self._rng.choice(requests))
        return id_, tag + self._rng.choice((0, 0, 0, 1)), name


def _is_request(message: bytes) -> bool:
    return command_of(message) == REQUEST and len(message) >= PREFIX_BYTES


def _id_and_tag(message: bytes) -> tuple[bytes, int]:
    head = head_of(message)
    return head.id, head.tag
