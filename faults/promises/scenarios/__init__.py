"""The promises: a file for each idea."""

from typing import Final

from faults.promises.promise import Promise
from faults.promises.scenarios import (
    capacity,
    deadlines,
    failovers,
    fair,
    middle_worker,
    newcomer,
    one_of_many,
    saturated,
    second_run,
    second_run_variants,
    slow_worker,
    stalled_caller,
)

PROMISES: Final[dict[str, Promise]] = {
    promise.name: promise
    for module in (
        second_run, second_run_variants, saturated, deadlines, middle_worker, failovers, stalled_caller, slow_worker,
        capacity, fair, one_of_many, newcomer,
    )
    for promise in module.PROMISES
}  # fmt: skip
