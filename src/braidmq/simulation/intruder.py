"""A registered member that has turned on the others: it has read everything, and says whatever may do harm.

It holds its own key only: CURVE lets nobody write into another's connection. But it may use the routing id of another
connection, once that has ended; and it knows all ids and tags.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from braidmq.simulation.dealers import Dealers
from braidmq.simulation.payload import payload_of
from braidmq.simulation.process import Process
from braidmq.simulation.registry import principal_of
from braidmq.wire import control, gossip
from braidmq.wire.envelope import CANCEL, LOST, REJECT, REPLY, REQUEST, WORKING, Envelope, Reason, encode

if TYPE_CHECKING:
    from braidmq.simulation.net import Net

EVERY_S: Final = 0.03
"""How often it does something, on average."""


class Intruder(Process):
    """See the module."""

    NAME: Final = "mallory"

    def __init__(self, net: Net) -> None:
        super().__init__(net.world, self.NAME)
        self._net = net
        self._rng = net.world.fork()
        self._dealers = Dealers(
            self, net.network, lambda broker: net.brokers[broker].routes, principal=principal_of(self.NAME),
            outbox_bytes_max=1 << 20, rng=net.world.fork(),
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

    def stop(self) -> None:
        """End at once: it has no manners."""
        self.kill()

    def _begin(self) -> None:
        self._net.network.eavesdropper = self.NAME
        for name in self._net.brokers:
            self._connect(name)
        self.later(EVERY_S, self._attack)

    def _turn(self, now: float) -> float:
        for name, failure in self._dealers.news():
            if failure is None:
                self._say(name, control.encode_control(control.Hello("mallory"), 0))
            else:
                self._dealers.close(name)
                self.later(self._rng.uniform(0.0, 0.2), lambda name=name: self._connect(name))  # type: ignore[misc]
        for _ in self._dealers.frames():
            pass  # it has read everything already
        self._dealers.flush()
        return now + 1.0

    # -- what it does

    def _attack(self) -> None:
        name = self._rng.choice(list(self._net.brokers))
        if self._rng.random() < 0.1:
            self._dealers.close(name)
            self._connect(name)
        else:
            self._say(name, self._rng.choice(self._attacks)())
        self.later(self._rng.uniform(0.0, 2 * EVERY_S), self._attack)

    def _connect(self, name: str) -> None:
        """Take a routing id that another connection to this broker has or had."""
        self._dealers.close(name)
        routes = self._net.network.routes_seen.get(name) or [self._rng.randbytes(8)]
        self._dealers.open_as(name, self._rng.choice(routes))

    def _say(self, name: str, frame: bytes) -> None:
        self._dealers.send(name, [frame])

    def _garbage(self) -> bytes:
        return self._rng.randbytes(self._rng.choice((0, 1, 11, 12, 60, 500)))

    def _cut_off(self) -> bytes:
        message = self._replay()
        return message[: self._rng.randint(0, len(message))]

    def _replay(self) -> bytes:
        heard = self._net.network.heard
        return self._rng.choice(heard) if heard else b""

    def _answer_for_another(self) -> bytes:
        id_, tag, sender = self._someones_request()
        command = self._rng.choice((REPLY, REPLY, WORKING, REJECT, LOST))
        code = 0 if command in (REPLY, WORKING) else self._rng.choice(tuple(Reason)) * (command == REJECT)
        return encode(Envelope(command, id_, tag=tag, sender=sender, code=code, payload=b"forged"))

    def _cancel_for_another(self) -> bytes:
        id_, tag, sender = self._someones_request()
        return encode(Envelope(CANCEL, id_, tag=tag, sender=sender))

    def _ask_with_anothers_id(self) -> bytes:
        id_, tag, sender = self._someones_request()
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
        said: control.Control = self._rng.choice(
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
        requests = [each for each in self._net.network.heard if len(each) > 40 and each[5] == REQUEST]
        name = self._rng.choice(list(self._net.nodes)).encode()
        if not requests:
            return bytes(16), 1, name
        request = self._rng.choice(requests)
        return request[20:36], int.from_bytes(request[16:20]) + self._rng.choice((0, 0, 0, 1)), name
