"""Connections that are filled, and reset while all is full: what a peer may do at the worst moment."""

from dataclasses import replace
from time import monotonic, sleep
from typing import Final

from attacks.arms import Arms, said
from attacks.curve import CurveClient
from attacks.frames import full
from attacks.pour import pour
from attacks.scenario import SHAPE, Scenario
from braidmq.wire import control

FLOODED_S: Final = 0.5
"""How long a connection is flooded before it is reset."""


def abort(arms: Arms) -> None:
    """Fill connections up to the high-water mark and reset them, again and again."""
    bundle = full(said(control.Heartbeat()))
    peers = arms.peers()
    while arms.goes_on():
        until = monotonic() + FLOODED_S
        while monotonic() < until:
            for peer in peers:
                peer.renew()
                while peer.send(bundle):
                    arms.sent["frames"] += 1
            sleep(0.001)
        for peer in peers:
            peer.reset()
            arms.sent["resets"] += 1


def ping_and_reset(arms: Arms) -> None:
    """Fill connections with messages and PINGs of the transport, and reset them, again and again."""
    bundle = full(said(control.Heartbeat()))

    def next_bytes(client: CurveClient) -> bytes:
        return client.message(bundle) + client.ping()

    pour(arms, next_bytes, life_s=FLOODED_S)


SCENARIOS = (
    Scenario("abort-1", "1 connection is filled to the high-water mark and reset, again and again", abort),
    Scenario(
        "abort-8", "8 connections are filled to the high-water mark and reset, again and again", abort, connections=8
    ),
    Scenario(
        "abort-16-two",
        "16 connections to each of two brokers are filled to the high-water mark and reset, again and again",
        abort,
        connections=16,
        shape=replace(SHAPE, brokers=2),
    ),
    Scenario(
        "abort-pings",
        "8 connections are filled with messages and PINGs of the transport and reset, again and again",
        ping_and_reset,
        connections=8,
    ),
)
