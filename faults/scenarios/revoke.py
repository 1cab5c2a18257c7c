"""A key is revoked while its owner is connected."""

from faults.scenario import Scenario, no_act

SCENARIOS = (
    Scenario(
        "revoke",
        "a key is revoked",
        "last message accepted <= 1 s after publication; connection cut <= 2 s",
        no_act,
        pending="there is no `braidmq publish` in this version: a running net learns of a revocation by copied files",
    ),
)
