"""The promises: a file for each idea."""

from typing import Final

from faults.promises.promise import Promise
from faults.promises.scenarios import second_run, second_run_variants

PROMISES: Final[dict[str, Promise]] = {
    promise.name: promise
    for module in (
        second_run,
        second_run_variants,
    )
    for promise in module.PROMISES
}
