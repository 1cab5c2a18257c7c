"""The net that is attacked: honest brokers, workers and clients, and whoever is hostile, each a process."""

from pathlib import Path
from typing import Final, Self

import msgspec

from attacks.arms import Plan
from attacks.attacker import FAILED
from attacks.scenario import Scenario
from braidmq.lab.processes.child import BRAIDMQ, Child
from braidmq.lab.processes.waiting import wait_until
from braidmq.lab.simulation.record import Call
from faults import worker
from faults.live_net import LiveNet
from faults.loaded import MODULE, Driven

ROGUE: Final = "rogue"
"""The broker that is in hostile hands."""

MALLORY: Final = "mallory"
"""The member that is."""

TOKEN_USES: Final = 16
"""How many members the token in hostile hands may make."""

SOUND_S_MAX: Final = 30.0

ACT_S_MAX: Final = 60.0
"""How much longer than it should an attack may take: whoever attacks may be held up by its own victims."""


class AttackNet(Driven):
    """See the module, and Driven.

    Attributes:
        live: the members and their files.
        honest: the names of the honest brokers.
        hostile: the names of the hostile processes.
    """

    callers = "faults.caller:nodes"

    def __init__(self, directory: Path, scenario: Scenario, seed: int) -> None:
        super().__init__(directory, scenario.shape, {})
        self._scenario, self._seed = scenario, seed
        self.honest = list(self.brokers)
        if scenario.lie:
            self.honest.pop()
            self.brokers[-1] = ROGUE
        self.live = LiveNet(directory / "net")
        for name in {*self.brokers, ROGUE} if scenario.key == ROGUE else self.brokers:
            self.live.add_broker(name)
        self.live.add_ends(worker.SERVICE, self.workers, self.clients)
        self.live.authority.add_node(MALLORY, scenario.calls, scenario.serves, publish=scenario.publish)
        self._token = ""
        if scenario.invites:
            token, _ = self.live.authority.invite(prefix="replica-", uses=TOKEN_USES)
            self._token = token.encode()
        self.live.add_node("observer", observe=True)
        self.hostile = {ROGUE, *(f"{MALLORY}{number}" for number in range(1, scenario.processes + 1))}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.live.close()
        super().__exit__()

    # -- the honest

    def start_brokers(self) -> None:
        """Start the brokers, and wait until they listen."""
        for name in self.honest:
            chosen = [word for each in self._scenario.settings for word in ("--set", each)]
            self.launch(name, [*BRAIDMQ, "broker", "--no-local", "--join", self.live.join(name), *chosen])
        if self._scenario.lie:
            lying = [
                *MODULE,
                "attacks.rogue",
                self._scenario.lie,
                self._seed,
                "broker",
                "--no-local",
                "--join",
                self.live.join(ROGUE),
            ]
            self.launch(ROGUE, lying, talks=True)
        for name in self.brokers:
            self.children[name].wait_for_line(f"{name} listens at ")

    def start_nodes(self) -> None:
        """Start the honest workers and clients, and wait until these have tried every broker."""
        shape = self.shape
        for name in self.workers:
            plan = worker.Plan(str(self.journal), shape.work_s, shape.concurrency, life=self.new_life(name))
            command = [*BRAIDMQ, "serve", "faults.worker:node", "--join", self.live.join(name)]
            self.launch(name, command, env=worker.environment(plan))
        self.start_clients({name: str(self.live.join(name)) for name in self.clients})

    def wait_until_sound(self) -> None:
        """Wait until everybody is connected to everybody."""
        members = self.shape.workers + self.shape.clients
        wait_until(
            lambda: self.live.sound(self.brokers, members, self.shape.workers), "the net is sound", SOUND_S_MAX, 0.1
        )

    def calls(self) -> list[Call]:
        """Return the honest calls that are new since the last time; call it while there is no load."""
        return self.read().calls

    def honest_children(self) -> dict[str, Child]:
        """Return the honest processes by name."""
        return {name: child for name, child in self.children.items() if name not in self.hostile}

    def ended(self) -> list[str]:
        """Return which honest processes have ended that nobody ended, and how."""
        return [
            f"{name} ended with {child.wait()}: {child.log.strip().rpartition(chr(10))[2][:200]}"
            for name, child in self.honest_children().items()
            if not child.running and not child.ordered
        ]

    # -- the hostile

    def start_attackers(self, length_s: float) -> None:
        """Start the hostile processes, which wait for `begin`."""
        scenario = self._scenario
        act = scenario.act
        if act is None:
            return
        for number in range(scenario.processes):
            plan = Plan(
                f"{act.__module__}:{act.__qualname__}",
                scenario.variant,
                str(self.live.join(ROGUE if scenario.key == ROGUE else MALLORY)),
                self.honest,
                scenario.connections,
                length_s,
                self._seed + number,
                self._token,
            )
            command = [*MODULE, "attacks.attacker", msgspec.json.encode(plan).decode()]
            self.launch(f"{MALLORY}{number + 1}", command, talks=True)
        for child in self._attackers:
            child.hear()

    def begin(self) -> None:
        """Let the attack begin."""
        self._tell("begin")

    def end(self) -> dict[str, int]:
        """Wait for the end of the attack; return what the hostile processes count."""
        counts: dict[str, int] = {}
        for child in self._attackers:
            mine = msgspec.json.decode(child.hear(ACT_S_MAX), type=dict[str, int])
            child.close()
            assert FAILED not in mine, f"the attack has failed: {child.log.strip().rpartition(chr(10))[2]}"
            for name, count in mine.items():
                counts[name] = counts.get(name, 0) + count
        if self._scenario.lie:
            self._tell("end")
        return counts

    def _tell(self, line: str) -> None:
        for name in self.hostile & self.children.keys():
            self.children[name].tell(line)

    @property
    def _attackers(self) -> list[Child]:
        return [child for name, child in self.children.items() if name in self.hostile - {ROGUE}]
