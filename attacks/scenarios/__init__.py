"""The rows of the matrix, in the order of the report: a file for each kind of attack."""

from typing import Final

from attacks.scenario import Scenario
from attacks.scenarios import bundles, paths, poisoned, queues

SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario for module in (bundles, paths, poisoned, queues) for scenario in module.SCENARIOS
}
