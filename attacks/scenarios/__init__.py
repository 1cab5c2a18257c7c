"""The rows of the matrix, in the order of the report: a file for each kind of attack."""

from typing import Final

from attacks.scenario import Scenario
from attacks.scenarios import (
    arithmetic,
    bundles,
    forged,
    fuzz,
    paths,
    poisoned,
    queues,
    readers,
    refusals,
    services,
    transport,
)

SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for module in (
        bundles, transport, paths, poisoned, queues, services, refusals, readers, arithmetic, forged, fuzz,
    )
    for scenario in module.SCENARIOS
}  # fmt: skip
