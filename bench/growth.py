"""What an exchange costs the cores as a net grows: ``python -m bench.growth``. All sizes take turns; medians are shown.

A worker's cost is that of all workers together: each turn asks every one of them whether it has something to send.
"""

import statistics
from typing import Final

from bench.pumped import Pumped

ROUNDS: Final = 3

CALLS: Final = 4_000
"""In each round, one at a time, so that nothing is saved by bundles."""

SIZES: Final[dict[str, tuple[int, ...]]] = {
    "clients": (10, 100, 1_000, 9_000),
    "services": (10, 100, 1_000),
    "brokers": (1, 4, 16),
    "under_way": (10, 100, 1_000, 9_000),
}


def measured(kind: str, size: int) -> tuple[float, float, float]:
    """Return the microseconds that an exchange costs the client, the broker and the workers."""
    under_way = size if kind == "under_way" else 0
    net = Pumped(**({} if under_way else {kind: size}))
    net.exchange(max(1_000, size), under_way=under_way)
    before = net.cost.client_s, net.cost.broker_s, net.cost.worker_s
    net.exchange(CALLS, under_way=under_way)
    after = net.cost.client_s, net.cost.broker_s, net.cost.worker_s
    client, broker, worker = ((now - then) / CALLS * 1e6 for then, now in zip(before, after, strict=True))
    return client, broker, worker


def main() -> None:
    """Measure, and print a line for each size."""
    print(f"{'':<18}{'client':>10}{'broker':>10}{'worker':>10}   microseconds for each exchange")
    for kind, sizes in SIZES.items():
        found: dict[int, list[tuple[float, float, float]]] = {size: [] for size in sizes}
        for _ in range(ROUNDS):
            for size in sizes:
                found[size].append(measured(kind, size))
        for size, rounds in found.items():
            client, broker, worker = (statistics.median(each) for each in zip(*rounds, strict=True))
            print(f"{kind.replace('_', ' '):<10}{size:>8,}{client:>10.1f}{broker:>10.1f}{worker:>10.1f}")


if __name__ == "__main__":
    main()
