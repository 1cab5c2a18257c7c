"""Members that have much sent to them: answers that they never read, and searches that cost more than they do."""

from dataclasses import replace
from time import sleep
from typing import Final

from attacks.arms import HELLO, Arms, said, written
from attacks.curve import CurveClient
from attacks.frames import cycled
from attacks.scenario import SHAPE, Scenario
from braidmq.lab.simulation.payload import payload_of
from braidmq.wire import control
from braidmq.wire.bundle import join
from braidmq.wire.envelope import REQUEST, Envelope
from braidmq.wire.gossip import Seek
from faults.worker import SERVICE

ASKED_BYTES: Final = 1_000_000

ASKED_S: Final = 0.015
"""How often so much is asked for, over all connections."""

SERVICES: Final = 1_000

SEEKS: Final = 2_621
"""As many as there is room for in a bundle."""


def never_read(arms: Arms) -> None:
    """Ask for large answers over all connections, and read none."""
    payload, clients = payload_of("mallory", ASKED_BYTES), dict[int, CurveClient]()
    for _now in arms.each_moment(ASKED_S):
        number = arms.sent["requests"] = arms.sent["requests"] + 1
        asked = Envelope(
            REQUEST, number.to_bytes(16), tag=number, time_ms=5_000, service=SERVICE.encode(), payload=payload
        )
        chosen = number % arms.plan.connections
        try:
            if chosen not in clients:
                clients[chosen] = CurveClient(arms.identity, arms.targets[0])
                clients[chosen].socket.sendall(clients[chosen].message(HELLO))
            clients[chosen].socket.sendall(clients[chosen].message(written(asked)))
        except OSError:
            arms.sent["cut"] += 1
            if ended := clients.pop(chosen, None):
                ended.socket.close()


def seek(arms: Arms) -> None:
    """Offer many services at the last broker, and seek at the first one what nobody has."""
    worker = arms.peer(arms.targets[-1])
    for bundle, _ in join([said(control.Ready(f"x/{number}", 1)) for number in range(SERVICES)]):
        worker.send(bundle)
    sleep(1.0)
    frame = join([said(Seek("x/none"))] * SEEKS)[0][0]
    next_frame = cycled([frame])
    peers = [arms.peer(arms.targets[0]) for _ in range(arms.plan.connections)]
    for _now in arms.each_moment(0.002):
        worker.hear()
        worker.say(control.Heartbeat())
        for peer in peers:
            peer.hear()
            if peer.renew() and peer.send(next_frame()):
                arms.sent["frames"] += 1


SCENARIOS = (
    Scenario(
        "readers-slow-16",
        "large answers are asked for over 16 connections, and never read",
        never_read,
        connections=16,
        calls=(SERVICE,),
    ),
    Scenario(
        "seek",
        f"frames of {SEEKS:,} SEEK, at a broker whose peer has {SERVICES:,} services",
        seek,
        connections=4,
        calls=("x/*",),
        serves=("x/*",),
        shape=replace(SHAPE, brokers=2),
    ),
)
