"""What a check finds."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from braidmq.cli.exit_codes import ExitCode


class State(StrEnum):
    """How a step went."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong, but it is not as usual, or was not looked at."""
    WRONG = "wrong"
    """It is to be mended; further steps can be taken all the same."""
    STOP = "stop"
    """It is to be mended, and the way ends here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one step.

    Attributes:
        step: its name: a word.
        state: how it went.
        text: what was found, in one line.
        mend: what to do about it; empty if there is nothing to do.
        code: the exit code of its class, if something is wrong.
        broker: at which broker; empty if it is about this machine, or about all of them.
    """

    step: str
    state: State
    text: str
    mend: str = ""
    code: ExitCode = ExitCode.OK
    broker: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether something is to be mended."""
        return self.state in (State.WRONG, State.STOP)


class Asked(NamedTuple):
    """What the doctor was asked.

    Attributes:
        file: the join file, as it was named.
        service: which service is to be looked at; empty if none is.
        via: the name of the only broker to look at; empty for all.
        timeout_s: how long each broker may take for all its steps.
    """

    file: str
    service: str = ""
    via: str = ""
    timeout_s: float = 5.0


def ok(step: str, text: str, broker: str = "") -> Finding:
    """Return that a step went well."""
    return Finding(step, State.OK, text, broker=broker)


def exit_code(findings: list[Finding]) -> ExitCode:
    """Return the exit code for what was found.

    Where a way to some broker is whole, and nothing is wrong that concerns all of them, it is 1 for whatever else is:
    the member works. Otherwise the first thing that is wrong decides.
    """
    bad = [each for each in findings if each.is_bad]
    if not bad:
        return ExitCode.OK
    brokers = {each.broker for each in findings if each.broker}
    whole = brokers - {each.broker for each in bad}
    return ExitCode.FAILURE if whole and all(each.broker for each in bad) else bad[0].code
