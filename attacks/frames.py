"""Bytes that attack: bundles that are full, and frames that are drawn.

`Fuzz` draws whole messages with any fields, the extreme ones more often than others, whole messages that are cut or
changed, and garbage. The same random numbers make the same frames.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from attacks.arms import now_ms, said
from braidmq.wire import control, gossip, operation, registry
from braidmq.wire.envelope import COMMON, UINT16, UINT32, VERSION, Command, Envelope, encode
from braidmq.wire.kinds import Control
from braidmq.wire.limits import BUNDLE_BYTES
from faults.worker import SERVICE

Role = Literal["client", "worker", "broker"]

NUMBERS: Final = (0, 1, 2, 12, 255, 256, 1000, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)
"""Numbers at which something may break."""

NAMES: Final = (
    b"",
    b"c1",
    b"w1",
    b"b1",
    b"mallory",
    SERVICE.encode(),
    b"nothing",
    b"*",
    b"\xff\xfe",
    b"x" * 255,
    b"\x1b[31m\n",
)

KNOWN_MAX: Final = 100
"""Messages of others that it remembers and replays."""

CONTROLS: Final[dict[Role, tuple[int, ...]]] = {
    "client": (
        control.Hello.NUMBER,
        control.Heartbeat.NUMBER,
        control.Status.NUMBER,
        operation.Operate.NUMBER,
        gossip.Seek.NUMBER,
        control.Goodbye.NUMBER,
    ),
    "worker": (
        control.Hello.NUMBER,
        control.Heartbeat.NUMBER,
        control.Ready.NUMBER,
        control.Goodbye.NUMBER,
        control.Bridging.NUMBER,
    ),
    "broker": tuple(sorted(control.KINDS)),
}

EXCHANGES: Final[dict[Role, tuple[int, ...]]] = {
    "client": (Command.REQUEST, Command.CANCEL, Command.RENEW),
    "worker": (Command.REPLY, Command.WORKING, Command.REJECT, Command.LOST),
    "broker": tuple(Command),
}


def full(message: bytes) -> bytes:
    """Return a bundle with a message as often as there is room for it."""
    return message * (BUNDLE_BYTES // len(message))


def cycled(frames: list[bytes]) -> Callable[[], bytes]:
    """Return what returns each of the frames in turn."""
    waiting = deque(frames)

    def next_frame() -> bytes:
        waiting.rotate(-1)
        return waiting[0]

    return next_frame


class Fuzz:
    """See the module."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._known: deque[Envelope] = deque(maxlen=KNOWN_MAX)

    def learn(self, heard: Envelope) -> None:
        """Handle a message of others, whose id and tag mean something."""
        self._known.append(heard)

    def frame(self, role: Role) -> bytes:
        """Return a frame that somebody of this role might send."""
        draw = self._rng.random()
        if draw < 0.05:
            return self._rng.randbytes(self._rng.choice((0, 1, 11, 12, 13, 44, 60, 500)))
        if draw < 0.3:
            return b"".join(self.message(role) for _ in range(self._rng.randrange(2, 20)))
        return self.message(role)

    def message(self, role: Role) -> bytes:
        """Return a message that somebody of this role might send."""
        draw = self._rng.random()
        message = self._exchange(role) if draw < 0.6 else self._control(role)
        if draw % 0.1 < 0.01:
            return message[: self._rng.randrange(len(message))]
        if draw % 0.1 < 0.02:
            changed = bytearray(message)
            changed[self._rng.randrange(len(message))] = self._rng.randrange(256)
            return bytes(changed)
        return message

    def _number(self, most: int) -> int:
        return min(most, self._rng.choice(NUMBERS)) if self._rng.random() < 0.7 else self._rng.randrange(most + 1)

    def _exchange(self, role: Role) -> bytes:
        rng = self._rng
        known = rng.choice(self._known) if self._known and rng.random() < 0.8 else None
        return encode(
            Envelope(
                rng.choice(EXCHANGES[role]),
                rng.randbytes(16) if known is None else known.id,
                flags=rng.choice((0, 1, 255)),
                retry_count=self._number(255),
                sent_ms=now_ms() if rng.random() < 0.5 else self._number(UINT32),
                time_ms=self._number(UINT32),
                tag=self._number(UINT32) if known is None else known.tag,
                service=SERVICE.encode() if rng.random() < 0.3 else rng.choice(NAMES),
                sender=rng.choice(NAMES),
                receiver=rng.choice(NAMES),
                code=self._number(255),
                working_ms=self._number(UINT16),
                extension=rng.randbytes(rng.choice((0, 0, 0, 3, 11, 200))),
                payload=rng.randbytes(rng.choice((0, 1, 64, 4096))),
            )
        )

    def _control(self, role: Role) -> bytes:
        rng = self._rng
        command = rng.choice(CONTROLS[role])
        if rng.random() < 0.2:
            body = msgspec.msgpack.encode(self._anything(3)) if rng.random() < 0.7 else rng.randbytes(20)
            return COMMON.pack(COMMON.size + len(body), VERSION, command, 0, 0, self._number(UINT32)) + body
        return said(self._well_formed(command))

    def _anything(self, depth: int) -> object:
        rng = self._rng
        kind = rng.randrange(6 if depth else 4)
        if kind == 4:
            return [self._anything(depth - 1) for _ in range(rng.randrange(4))]
        if kind == 5:
            keys = (
                "service",
                "credit",
                "number",
                "rumors",
                "members",
                "name",
                "version",
                "available",
                "text",
                "reason",
            )
            return {rng.choice(keys): self._anything(depth - 1) for _ in range(rng.randrange(4))}
        plain: tuple[object, ...] = (
            rng.choice((None, True, float("nan"), float("inf"), -1, 2**63)),
            self._number(UINT32),
            rng.randbytes(8),
            "x" * rng.randrange(300),
        )
        return plain[kind]

    def _rumors(self) -> list[gossip.Rumor]:
        rng = self._rng
        return [
            gossip.Rumor(
                rng.choice(("b1", "b2", "rogue", f"x{rng.randrange(1000)}")),
                rng.choice((0, 1, 1_000_000, 2**53)),
                rng.choice(("alive", "suspect", "leaving", "dead")),
                rng.choice(("", "b1", "rogue")),
                rng.randbytes(rng.choice((0, 0, 300))),
            )
            for _ in range(rng.randrange(4))
        ]

    def _version(self) -> int:
        """Return what a registry's version may be said to be."""
        return self._rng.choice((0, 1, self._number(UINT32), 2**62, 2**63 - 1))

    def _well_formed(self, command: int) -> Control:
        rng, number = self._rng, self._number(UINT32)
        service = rng.choice((SERVICE, "own", "x", f"own/{rng.randrange(1000)}", "\u202e\x1b"))
        makers: dict[int, Callable[[], Control]] = {
            control.Hello.NUMBER: lambda: control.Hello("\x1b[2J" * 10, rng.randbytes(8)),
            control.Welcome.NUMBER: lambda: control.Welcome("rogue", "c1", max(1, number), self._number(UINT32)),
            control.Ready.NUMBER: lambda: control.Ready(service, number),
            control.Peers.NUMBER: lambda: control.Peers([control.Peer(rng.randbytes(300))]),
            control.Goodbye.NUMBER: lambda: control.Goodbye(
                rng.choice(("draining", "noted", "noted", "noted")), "\x1b]0;" * 10
            ),
            control.Status.NUMBER: control.Status,
            control.Bridging.NUMBER: lambda: control.Bridging(control.BridgeStatus("\x1b[2J" * 12, number, number)),
            operation.Operate.NUMBER: lambda: operation.Operate(
                number,
                rng.choice((operation.DRAIN, operation.TAKE_OUT, operation.PUT_BACK, "\x1b[2J")),
                rng.choice(("b1", "w1", "rogue")),
                rng.random() < 0.5,
            ),
            operation.Operated.NUMBER: lambda: operation.Operated(number, operation.DONE, "\x1b]0;" * 10),
            operation.Withheld.NUMBER: lambda: operation.Withheld("rogue", rng.random() < 0.5),
            control.Report.NUMBER: control.Report,
            control.Services.NUMBER: lambda: control.Services([service] * rng.randrange(4)),
            control.Demand.NUMBER: lambda: control.Demand(service, number),
            gossip.Ping.NUMBER: lambda: gossip.Ping(number, self._rumors()),
            gossip.Ack.NUMBER: lambda: gossip.Ack(number, self._rumors()),
            gossip.Probe.NUMBER: lambda: gossip.Probe(number, "b1", self._rumors()),
            gossip.Nack.NUMBER: lambda: gossip.Nack(number),
            gossip.Gossip.NUMBER: lambda: gossip.Gossip(self._rumors()),
            gossip.Sync.NUMBER: lambda: gossip.Sync(self._rumors(), rng.random() < 0.5),
            gossip.About.NUMBER: lambda: gossip.About(
                "rogue",
                number,
                ["tcp://127.0.0.1:1"],
                number,
                number,
                number,
                True,
                [gossip.ServiceAbout(service, number, number)],
            ),
            gossip.Seek.NUMBER: lambda: gossip.Seek(service),
            gossip.Paths.NUMBER: lambda: gossip.Paths(service, ["b1"]),
            registry.RegistryVersion.NUMBER: lambda: registry.RegistryVersion(
                self._version(), rng.randbytes(registry.DIGEST_BYTES), number
            ),
            registry.RegistryWanted.NUMBER: lambda: registry.RegistryWanted(
                self._version(), self._number(registry.REGISTRY_BYTES_MAX), rng.randint(1, registry.PARTS_AHEAD)
            ),
            registry.RegistryPart.NUMBER: lambda: registry.RegistryPart(
                self._version(),
                self._version(),
                self._number(registry.REGISTRY_BYTES_MAX),
                rng.choice((0, self._number(registry.REGISTRY_BYTES_MAX))),
                rng.randbytes(rng.choice((0, 1, 300, registry.PART_BYTES))),
            ),
            registry.RosterIs.NUMBER: lambda: registry.RosterIs(rng.randbytes(300)),
            registry.CertificateIs.NUMBER: lambda: registry.CertificateIs(rng.randbytes(300)),
            registry.Published.NUMBER: lambda: registry.Published(self._version(), "\x1b[2J" * 10),
            registry.Enrol.NUMBER: lambda: registry.Enrol(rng.randbytes(300)),
            registry.Enrolled.NUMBER: lambda: registry.Enrolled([registry.EnrolmentRow(rng.randbytes(300), number)]),
        }
        return makers.get(command, control.Heartbeat)()
