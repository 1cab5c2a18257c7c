"""The rows of the matrix, in the order of the report: a file for each kind of fault."""

from typing import Final

from faults.scenario import Scenario
from faults.scenarios import (
    all_down,
    block_worker,
    delay,
    drain_broker,
    flap_broker,
    jump_clock,
    kill_broker,
    kill_worker,
    lose_packets,
    overload,
    partition,
    reconnect,
    revoke,
    roll,
    stop_broker,
)

SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for module in (
        kill_broker, drain_broker, stop_broker, kill_worker, block_worker, partition, lose_packets, delay, jump_clock,
        overload, flap_broker, roll, all_down, revoke, reconnect,
    )
    for scenario in module.SCENARIOS
}  # fmt: skip
