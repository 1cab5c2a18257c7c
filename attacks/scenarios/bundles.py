"""Bundles full of the smallest messages, and other frames that cost their reader more than their writer."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from attacks.arms import Arms, now_ms, said, written
from attacks.frames import cycled, full
from attacks.scenario import SHAPE, Scenario
from braidmq.wire import control, gossip
from braidmq.wire.bundle import join
from braidmq.wire.envelope import COMMON, VERSION, Command, Envelope, encode
from braidmq.wire.limits import BUNDLE_BYTES
from faults.worker import SERVICE

GARBAGE_BYTES: Final = 1 << 20

ROWS: Final = 9_000
"""Rows of one SYNC or ABOUT."""


def _requests(service: str) -> bytes:
    """Return a bundle of requests."""
    each = [
        written(Envelope(Command.REQUEST, tag.to_bytes(16), tag=tag, time_ms=60_000, service=service.encode()))
        for tag in range(BUNDLE_BYTES // 50)
    ]
    return join(each)[0][0]


def _malformed() -> bytes:
    """Return a message whose prefix is right, and whose body is not MessagePack."""
    return COMMON.pack(COMMON.size + 1, VERSION, control.Ready.NUMBER, 0, 0, now_ms()) + b"\xc1"


def _garbage(arms: Arms) -> Callable[[], bytes]:
    return cycled([arms.rng.randbytes(GARBAGE_BYTES) for _ in range(4)])


def _of(message: bytes) -> Callable[[Arms], Callable[[], bytes]]:
    """Return what sends bundles of a message."""
    return lambda _arms: cycled([full(message)])


def _offers(_arms: Arms) -> Callable[[], bytes]:
    return cycled(
        [b"".join(said(control.Ready(f"own/{number % 100}", credit)) for number in range(1_500)) for credit in (1, 0)]
    )


FRAMES: Final[dict[str, tuple[str, Callable[[Arms], Callable[[], bytes]]]]] = {
    "heartbeat": ("HEARTBEAT", _of(said(control.Heartbeat()))),
    "goodbye": ("GOODBYE", _of(said(control.Goodbye("draining")))),
    "ready-denied": ("READY without the right to it", _of(said(control.Ready("d", 1)))),
    "no-worker": ("requests for a service without a worker", lambda _arms: cycled([_requests("nothing")])),
    "denied": ("requests without the right to them", lambda _arms: cycled([_requests(SERVICE)])),
    "cancel": ("CANCEL of nothing", _of(encode(Envelope(Command.CANCEL, bytes(16), tag=7)))),
    "renew": ("RENEW of nothing", _of(encode(Envelope(Command.RENEW, bytes(16), tag=7)))),
    "status": ("STATUS", _of(said(control.Status()))),
    "malformed": ("malformed messages", _of(_malformed())),
    "about": ("ABOUT in a node's name", _of(said(gossip.About("b", 1)))),
    "sync": ("SYNC of a node", _of(said(gossip.Sync([])))),
    "ready": ("READY, 100 services that come and go", _offers),
    "garbage": ("frames of 1 MiB of garbage", _garbage),
    "tiny": ("one small message to a frame", lambda _arms: cycled([said(control.Heartbeat())])),
}
"""What is sent, by the variant: in words, and what makes it."""

BROKERS_FRAMES: Final[dict[str, tuple[str, bytes]]] = {
    "broker-ping": ("PING in full bundles", full(said(gossip.Ping(1)))),
    "broker-sync": (
        f"SYNC with {ROWS:,} names",
        said(gossip.Sync([gossip.Rumor(f"x{number}", 1, "dead") for number in range(ROWS)])),
    ),
    "broker-about": (
        f"ABOUT with {ROWS:,} services",
        said(gossip.About("rogue", 1, services=[gossip.ServiceAbout(f"x{number}", 1, 1) for number in range(ROWS)])),
    ),
}
"""The same for a broker's key."""


def flood(arms: Arms) -> None:
    """Send nothing but such frames."""
    arms.flood(FRAMES[arms.plan.variant][1](arms))


def flood_as_broker(arms: Arms) -> None:
    """Send nothing but such frames, as a broker."""
    arms.flood(cycled([BROKERS_FRAMES[arms.plan.variant][1]]))


_row = partial(Scenario, act=flood, serves=("own/*",))

SCENARIOS = (
    *(
        _row(f"bundles-{name}", f"{what}, 16 connections", variant=name, connections=16)
        for name, (what, _) in FRAMES.items()
    ),
    _row("bundles-heartbeat-1", "HEARTBEAT, 1 connection", variant="heartbeat"),
    _row(
        "bundles-heartbeat-two",
        "HEARTBEAT, 16 connections to each of two brokers",
        variant="heartbeat",
        connections=16,
        shape=replace(SHAPE, brokers=2),
    ),
    _row(
        "bundles-no-worker-two",
        "requests for a service without a worker, 16 connections to each of two brokers",
        variant="no-worker",
        connections=16,
        shape=replace(SHAPE, brokers=2),
    ),
    *(
        Scenario(
            f"bundles-{name}",
            f"a hostile broker: {what}, 4 connections",
            act=flood_as_broker,
            variant=name,
            key="rogue",
            connections=4,
        )
        for name, (what, _) in BROKERS_FRAMES.items()
    ),
)
