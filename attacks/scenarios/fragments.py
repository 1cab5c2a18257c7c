"""Large messages whose last fragment never comes."""

from math import inf
from time import monotonic
from typing import Final

from attacks.arms import HELLO, Arms, said
from attacks.curve import CurveClient
from attacks.scenario import Scenario
from braidmq.carrier.fragments import FRAGMENT_BYTES, MORE
from braidmq.settings import MIB
from braidmq.wire import control

LOOK_S: Final = 0.02

HEARTBEAT_S: Final = 0.5
"""How often each connection says that it is there: its silence is not what is tried here."""

SEND_S_MAX: Final = 1.0
"""How long a connection may take nothing before it is made anew."""

CONNECTIONS: Final = 16
"""As many as one key may have."""


def hold(arms: Arms) -> None:
    """Send fragments over all connections, up to a length that a message may have, and never the last one."""
    fragment = bytes((MORE,)) + bytes(FRAGMENT_BYTES)
    pieces = int(arms.plan.variant) // FRAGMENT_BYTES
    clients: dict[int, CurveClient] = {}
    said_at = [-inf] * arms.plan.connections
    for now in arms.each_moment(LOOK_S):
        for number in range(arms.plan.connections):
            try:
                if number not in clients:
                    client = clients[number] = CurveClient(arms.identity, arms.targets[number % len(arms.targets)])
                    client.socket.settimeout(SEND_S_MAX)
                    client.socket.sendall(client.message(HELLO))
                    for _ in range(pieces):
                        client.socket.sendall(client.message(fragment))
                    arms.sent["messages"] += 1
                if now - said_at[number] >= HEARTBEAT_S:
                    said_at[number] = monotonic()
                    clients[number].socket.sendall(clients[number].message(said(control.Heartbeat())))
            except OSError:
                arms.sent["cut"] += 1
                if ended := clients.pop(number, None):
                    ended.socket.close()


SCENARIOS = (
    Scenario(
        "fragments-held",
        f"{CONNECTIONS} connections send all of a message of 1 MiB but its last fragment, and hold it back",
        hold,
        str(MIB),
        connections=CONNECTIONS,
    ),
    Scenario(
        "fragments-held-large",
        f"the same with messages of 16 MiB, {CONNECTIONS * 16} MiB in all, at a broker that takes such payloads",
        hold,
        str(16 * MIB),
        connections=CONNECTIONS,
        settings=(f"payload_bytes_max={16 * MIB}",),
    ),
)
