"""A hostile broker has workers run requests in the names of clients, to have other brokers bring forged replies."""

from dataclasses import replace

from attacks.scenario import BESIDE_A_HOSTILE_BROKER, SHAPE, Scenario

SCENARIOS = tuple(
    Scenario(
        f"poisoned-{lie}",
        f"a hostile broker of {brokers} {what}",
        lie=lie,
        shape=replace(SHAPE, brokers=brokers),
        most=BESIDE_A_HOSTILE_BROKER if brokers > 2 else {**BESIDE_A_HOSTILE_BROKER, "errors": 0.05},
    )
    for lie, brokers, what in (
        ("poisoner", 2, "has workers run the ids behind one that it has seen, with payloads of its own"),
        ("replayer", 3, "keeps requests, and has workers run others under their ids"),
    )
)
