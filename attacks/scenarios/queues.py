"""A key that fills queues which others need."""

from collections import deque
from dataclasses import replace
from typing import Final

from attacks.arms import BURST, Arms
from attacks.scenario import SHAPE, Scenario
from braidmq.bounds import DAY_S
from braidmq.lab.simulation.payload import payload_of
from braidmq.wire import control
from braidmq.wire.envelope import LOST, REJECT, RENEW, REPLY, REQUEST, WORKING, Envelope, Progress
from faults.worker import SERVICE

KEPT: Final = 256
"""Requests that the attacker keeps waiting."""

PARKED_BYTES: Final = (1_000_000, 100_000, 4_000, 400)
"""Sizes of what is parked, the next one when nothing more of one is taken."""

BURSTY = replace(SHAPE, clients=6, client_processes=6, concurrency=1, work_s=0.01)
"""Clients that call at the same moments: some of it has to wait."""

DAY_MS: Final = 1_000 * DAY_S

BUSY = replace(SHAPE, work_s=0.02, concurrency=2)
"""Workers that do 200 requests in a second."""


def keep_waiting(arms: Arms) -> None:
    """Keep so many requests unanswered all the time, over all connections."""
    peers, number = arms.peers(), 0
    each = KEPT // len(peers)
    payload = payload_of("mallory", 4096)
    for _now in arms.each_moment(0.002):
        for peer in peers:
            if not peer.renew():
                continue
            for heard in peer.exchanges():
                if heard.command in (REPLY, REJECT, LOST):
                    peer.waiting -= 1
                    arms.sent["answers"] += heard.command == REPLY
                elif (heard.command, heard.code) == (WORKING, Progress.QUEUED):
                    peer.exchange(Envelope(RENEW, heard.id, tag=heard.tag, time_ms=heard.time_ms))
            while peer.waiting < each:
                number += 1
                asked = Envelope(
                    REQUEST, number.to_bytes(16), tag=number, time_ms=60_000, service=SERVICE.encode(), payload=payload
                )
                if not peer.exchange(asked):
                    break
                peer.waiting += 1
                arms.sent["requests"] += 1


def park(arms: Arms) -> None:
    """Let requests wait for a day for a worker of its own, which grants nothing: large ones, then whatever fits."""
    [peer] = arms.peers(1)
    peer.say(control.Ready("own", 0))
    number, sizes = 0, deque(PARKED_BYTES)
    for _now in arms.each_moment(0.02):
        rejected = sum(heard.command == REJECT for heard in peer.exchanges())
        if rejected and len(sizes) > 1:
            sizes.popleft()
        for _ in range(BURST):
            number += 1
            asked = Envelope(
                REQUEST, number.to_bytes(16), tag=number, time_ms=DAY_MS, service=b"own", payload=bytes(sizes[0])
            )
            arms.sent["requests"] += peer.exchange(asked)
        arms.sent["refused"] += rejected
        peer.renew()


SCENARIOS = (
    *(
        Scenario(
            f"queues-kept-{connections}",
            f"one key keeps {KEPT} requests waiting in a service that is used at 70 %, {connections} connections",
            act=keep_waiting,
            calls=(SERVICE,),
            connections=connections,
            shape=BUSY,
            rate=140.0,
        )
        for connections in (1, 16)
    ),
    Scenario(
        "queues-kept-one",
        f"one key keeps {KEPT} requests waiting in a service of which a single honest key uses 45 %",
        act=keep_waiting,
        calls=(SERVICE,),
        shape=replace(BUSY, clients=1),
        rate=90.0,
    ),
    Scenario(
        "queues-parked",
        "one key parks 64 MiB for a day in a service of its own without credit",
        act=park,
        calls=("own",),
        serves=("own",),
        shape=BURSTY,
        rate=60.0,
    ),
)
