"""How a worker spreads its credit over its brokers."""


def spread(total: int, demand: dict[str, int]) -> dict[str, int]:
    """Return each broker's share of `total` credits: 1 for each, the rest in proportion to demand.

    Args:
        total: the worker's concurrency, at least 1.
        demand: what each broker could use now: its outstanding requests and its backlog.

    The shares sum up to `total`. With fewer credits than brokers each broker still gets 1: a worker that one
    broker cannot reach at all would be worse than a request that waits in the worker for its turn.
    """
    if not demand:
        return {}
    shares = dict.fromkeys(demand, 1)
    rest = total - len(demand)
    if rest <= 0:
        return shares
    weights = {name: wanted + 1 for name, wanted in demand.items()}
    weight = sum(weights.values())
    for name in shares:
        shares[name] += rest * weights[name] // weight
    left = total - sum(shares.values())
    for name in sorted(shares, key=lambda name: (-weights[name], name))[:left]:
        shares[name] += 1
    return shares
