"""What a run of a promise has: a net of its own, chance, and a place for what it finds."""

import random
from dataclasses import dataclass

from faults.promises.net import PromiseNet
from faults.promises.promise import Evidence


@dataclass
class Stage:
    """See the module.

    Attributes:
        net: not yet opened.
        rng: the same for the same seed, promise and run.
        evidence: takes what is found.
        number: counts the runs, from 0.
    """

    net: PromiseNet
    rng: random.Random
    evidence: Evidence
    number: int = 0
