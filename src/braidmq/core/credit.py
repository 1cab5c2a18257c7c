"""How a worker spreads its credit over its brokers."""


def spread(total: int, demand: dict[str, int]) -> dict[str, int]:
    """Return each broker's share of `total` credits.

    Args:
        total: the worker's concurrency, at least 1.
        demand: what each broker could use now: its outstanding requests and its backlog.

    The brokers with a demand share all of it, in proportion, each 1 at least; the others get 1 on top, so that they can
    begin at once. Without any demand all get the same. So the shares exceed `total` by what few brokers need to be able
    to reach the worker at all: what finds no place goes back, and waits at its broker.
    """
    active = {name: wanted for name, wanted in demand.items() if wanted} or dict.fromkeys(demand, 1)
    shares = dict.fromkeys(demand, 1)
    rest = total - len(active)
    if rest <= 0:
        return shares
    weight = sum(active.values())
    for name, wanted in active.items():
        shares[name] += rest * wanted // weight
    left = total - sum(shares[name] for name in active)
    for name in sorted(active, key=lambda name: (-active[name], name))[:left]:
        shares[name] += 1
    return shares
