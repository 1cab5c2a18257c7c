"""Faults of bridges and of the foreign programs before them: kinds of a scenario of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braidmq.lab.simulation.faults import Fault, Heal, kill, pause, stop

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from braidmq.lab.simulation.foreign.program import Program
    from braidmq.lab.simulation.net import Net
    from braidmq.lab.simulation.process import Process


PAUSE_S: Final = (0.1, 6.0)
"""How long a foreign program stands still, at least and at most."""


def _bridges(net: Net) -> Sequence[Process]:
    return [net.bridge] if net.bridge is not None and net.bridge.up else []


def _working_bridges(net: Net) -> Sequence[Process]:
    return [net.bridge] if net.bridge is not None and net.bridge.is_at_work else []


def _programs(net: Net) -> list[Program]:
    programs = [] if net.bridge is None else net.bridge.street.programs
    return [each for each in programs if each.up and not each.paused]


def kill_program(net: Net, rng: random.Random) -> Heal | None:
    """Kill -9 of a foreign program, which is started anew."""
    programs = _programs(net)
    if not programs or net.bridge is None:
        return None
    program = rng.choice(programs)
    net.world.trace.note(net.world.now, f"kill {program.name}", fault=True)
    recover = net.bridge.street.mark_outage("kill", program)
    program.kill()

    def heal() -> None:
        program.start()
        recover()

    return heal


def pause_program(net: Net, rng: random.Random) -> None:
    """SIGSTOP of a foreign program, for long enough that it takes its server for gone, if it has a mind to."""
    programs = _programs(net)
    if not programs or net.bridge is None:
        return
    program = rng.choice(programs)
    net.world.trace.note(net.world.now, f"pause {program.name}", fault=True)
    recover = net.bridge.street.mark_outage("pause", program)
    life = program.life
    program.pause()

    def heal() -> None:
        if program.up and program.life == life:
            net.world.trace.note(net.world.now, f"{program.name} goes on", fault=True)
            program.resume()
        recover()

    net.world.later(rng.uniform(*PAUSE_S), heal)


def reset_program(net: Net, rng: random.Random) -> None:
    """The connections of some foreign programs break; their sockets connect anew."""
    for program in _programs(net):
        if net.bridge is not None and rng.random() < 0.4:
            net.world.trace.note(net.world.now, f"reset of {program.name}", fault=True)
            recover = net.bridge.street.mark_outage("reset", program)
            if program.line is not None:
                program.line.break_off()
            net.world.later(0.0, recover)


KINDS: Final[dict[str, Fault]] = {
    "kill-bridge": kill(_bridges),
    "stop-bridge": stop(_working_bridges),
    "pause-bridge": pause(_working_bridges),
    "kill-program": kill_program,
    "pause-program": pause_program,
    "reset-program": reset_program,
}
"""All of them, by name."""
