"""How long to wait before trying again."""

import random


def full_jitter(first_s: float, max_s: float, round_: int, rng: random.Random) -> float:
    """Return the pause before round `round_` (from 0): uniform from 0 to first * 2**round, at most `max_s`.

    Source: AWS, "Exponential Backoff And Jitter".
    """
    return rng.uniform(0.0, min(max_s, first_s * 2.0 ** min(round_, 30)))
