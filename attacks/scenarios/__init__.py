"""The rows of the matrix, in the order of the report: a file for each kind of attack."""

from typing import Final

from attacks.scenario import Scenario
from attacks.scenarios import (
    abort,
    arithmetic,
    bundles,
    forged,
    fragments,
    fuzz,
    handshakes,
    logs,
    multipart,
    paths,
    poisoned,
    queues,
    readers,
    refusals,
    registry,
    retries,
    services,
)

SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for module in (
        abort, bundles, handshakes, multipart, fragments, paths, poisoned, queues, services, refusals, retries, readers,
        logs, arithmetic, forged, registry, fuzz,
    )
    for scenario in module.SCENARIOS
}  # fmt: skip
