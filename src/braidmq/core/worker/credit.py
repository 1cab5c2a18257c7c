"""How a worker spreads its credit over its brokers."""


def spread(total: int, demand: dict[str, int]) -> dict[str, int]:
    """Return each broker's share of `total` credits.

    Args:
        total: the worker's concurrency, at least 1.
        demand: what each broker could use now: its outstanding requests and its backlog, by its own word.

    The brokers with a demand share all of it, each 1 at least, by max-min fairness: each gets what it demands, but no
    more than its equal share as long as others want more; so whoever asks for more than it needs takes nothing from
    those who ask for no more than that. What nobody has asked for is shared equally. The others get 1 on top, so that
    they can begin at once. Without any demand all get the same. So the shares exceed `total` by what few brokers need
    to be able to reach the worker at all: what finds no place goes back, and waits at its broker.
    """
    active = {name: wanted for name, wanted in demand.items() if wanted} or dict.fromkeys(demand, 1)
    shares = dict.fromkeys(demand, 1)
    rest, count = max(0, total - len(active)), len(active)
    for name in sorted(active, key=lambda name: (active[name], name)):
        shares[name] += min(active[name] - 1, rest // count)
        rest -= shares[name] - 1
        count -= 1
    for place, name in enumerate(sorted(active, key=lambda name: (-active[name], name))):
        shares[name] += rest // len(active) + (place < rest % len(active))
    return shares
