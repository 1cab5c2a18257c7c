"""The foreign programs of one bridge, and what they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braidmq.bridges.majordomo.core import MajordomoCore
from braidmq.bridges.majordomo.options import MajordomoOptions
from braidmq.bridges.majordomo.options import ServiceOptions as MajordomoService
from braidmq.bridges.malamute.core import MalamuteCore
from braidmq.bridges.malamute.options import MalamuteOptions
from braidmq.bridges.malamute.options import ServiceOptions as MalamuteService
from braidmq.lab.simulation.foreign.line import Frames, Line
from braidmq.lab.simulation.foreign.majordomo import MajordomoClient, MajordomoWorker
from braidmq.lab.simulation.foreign.malamute import MalamuteClient, MalamuteWorker
from braidmq.lab.simulation.foreign.program import Caller, Program, Server
from braidmq.lab.simulation.record import Outage

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from braidmq.bridges.port import Peer, Rights
    from braidmq.lab.simulation.foreign.bridge import BridgeProcess
    from braidmq.lab.simulation.foreign.plan import Bridged
    from braidmq.lab.simulation.net import Net
    from braidmq.lab.simulation.plan import Work
    from braidmq.lab.simulation.world import World

_CLIENTS: Final[dict[str, Callable[[Street, str], Caller]]] = {
    "majordomo": MajordomoClient,
    "malamute": MalamuteClient,
}
_WORKERS: Final[dict[str, Callable[[Street, str], Server]]] = {
    "majordomo": MajordomoWorker,
    "malamute": MalamuteWorker,
}


UNREAD_MAX: Final = 1_000
"""Messages that wait for a program to read them: see `MESSAGES_UNREAD_MAX` of bridges/limits.py."""


class Street:
    """Where programs and a bridge live: the bridge's endpoint is a Door (see line.py).

    Attributes:
        lines: the sockets of programs.
        kind: what the bridge speaks to them.
        callers: programs that ask.
        servers: programs that provide `service`.
        service: its name.
        timeout_s: how long the bridge lets a call take.
        speaks_of_errors: whether a call that fails is answered, too.
        unread_max: messages that may wait for a program to read them.
    """

    def __init__(self, net: Net, bridge: BridgeProcess, bridged: Bridged) -> None:
        self.world: World = net.world
        self.lines: dict[Line, None] = {}
        self.kind = bridged.kind
        self.service = bridged.service
        self.timeout_s = bridged.timeout_s
        self.speaks_of_errors = bridged.errors
        self.unread_max = bridged.unread_max
        self._net = net
        self._bridge = bridge
        self._bridged = bridged
        self._numbers = 0
        record = self.world.record
        record.bridge = bridge.name
        record.refuses_duplicates = bridged.duplicates == "refuse"
        record.drops_unread = bridged.unread_max < UNREAD_MAX
        self.callers = [_CLIENTS[bridged.kind](self, f"p{number}") for number in range(bridged.callers)]
        self.servers = [_WORKERS[bridged.kind](self, f"q{number}") for number in range(bridged.servers)]

    @property
    def programs(self) -> list[Program]:
        """All of them."""
        return [*self.callers, *self.servers]

    @property
    def work(self) -> Work:
        """What handlers do at present."""
        return self._net.work

    def number(self) -> int:
        """Return a number that nobody else has."""
        self._numbers += 1
        return self._numbers

    def mark_outage(self, kind: str, program: Program) -> Callable[[], None]:
        """Note that something is wrong with a program; return what notes its end."""
        outage = Outage(program.name, kind, self.world.now)
        self.world.record.foreign_outages.append(outage)

        def recover() -> None:
            outage.end = self.world.now

        return recover

    def make_core(self, rights: Rights, rng: random.Random, payload_bytes_max: int) -> MajordomoCore | MalamuteCore:
        """Return the core of a new life of the bridge."""
        bridged = self._bridged
        if bridged.kind == "majordomo":
            service = MajordomoService(
                error_frames=bridged.errors, duplicates=bridged.duplicates, wait=bridged.wait is not False
            )
            options = MajordomoOptions(timeout_s=bridged.timeout_s, ordered=bridged.ordered, services={"*": service})
            return MajordomoCore(options, rights, payload_bytes_max)
        told = MalamuteService(
            errors="mail" if bridged.errors else "silent",
            duplicates=bridged.duplicates,
            wait=bridged.wait,
            concurrency=bridged.places,
        )
        return MalamuteCore(
            MalamuteOptions(timeout_s=bridged.timeout_s, services={"*": told}), rights, rng, payload_bytes_max
        )

    # -- the bridge's endpoint: see Door

    @property
    def opens(self) -> bool:
        """See Door."""
        return self._bridge.up and not self._bridge.paused and self._bridge.listens

    def on_come(self, peer: Peer, frames: Frames) -> None:
        """See Door."""
        self._bridge.on_come(peer, frames)

    def on_end(self, peer: Peer) -> None:
        """See Door."""
        self._bridge.on_end(peer)
