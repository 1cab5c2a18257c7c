"""What the doctor says: as text, and as JSON."""

from collections.abc import Sequence

import msgspec

from braidmq.cli.doctor.finding import Finding, State
from braidmq.printable import printable

_MARKS = {State.OK: "ok", State.NOTE: "note", State.WRONG: "WRONG", State.STOP: "STOP"}


def text(findings: Sequence[Finding]) -> str:
    """Return a line for each finding, brokers apart; below what is wrong stands what mends it."""
    lines: list[str] = []
    broker = ""
    for each in findings:
        if each.broker != broker:
            broker = each.broker
            lines += ["", broker or "all brokers"]
        lines.append(printable(f"  {_MARKS[each.state]:<6}{each.step:<13}{each.text}"))
        if each.mend and each.is_bad:
            lines.append(printable(f"  {'':<19}-> {each.mend}"))
    bad = sum(each.is_bad for each in findings)
    end = f"{bad} {'thing is' if bad == 1 else 'things are'} to be mended" if bad else "all is well"
    return "\n".join([*lines, "", end])


def encode(findings: Sequence[Finding], code: int) -> bytes:
    """Return a JSON object: whether all is well, the exit code, and each step in order."""
    steps = [
        {
            "broker": each.broker or None,
            "step": each.step,
            "state": each.state.value,
            "text": each.text,
            "mend": each.mend or None,
        }
        for each in findings
    ]
    return msgspec.json.encode({"well": not any(each.is_bad for each in findings), "exit_code": code, "steps": steps})
