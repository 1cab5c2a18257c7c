"""Somebody who watches a net while it is hurt: `braidmq status --watch --json`, as any operator may run it.

It is a member of its own process with the right to observe, and sees what brokers tell, and nothing of the harness.
"""

import threading
from time import monotonic
from typing import Final, Self

import msgspec

from braidmq.lab.processes.child import Child
from braidmq.lab.processes.waiting import wait_until

OPTIONS: Final = ("status", "--watch", "--json", "--broker", "none")
"""Findings are of all the net; what else brokers tell is left out, as it is long."""

CALM_S_MAX: Final = 90.0
"""How long it may take until nothing is found in a net that is sound: what was refused is told for ten seconds, and so
is a broker that was started."""

CALM_GLANCES: Final = 3
"""Glances at which nothing is found, one after the other, until a net counts as calm."""


class Told(msgspec.Struct, frozen=True):
    """A finding, as `braidmq status --json` tells it."""

    kind: str
    wrong: bool
    who: tuple[str, ...]
    what: str
    why: str
    remedy: str

    @property
    def sentence(self) -> str:
        """What is found, and why, on one line."""
        return f"{self.what}{': ' if self.why else ''}{self.why}"


class Glance(msgspec.Struct):
    """One look at the net.

    Attributes:
        health: the sentence of health.
        findings: what was found, the worst first.
        at: when it was told (CLOCK_MONOTONIC).
    """

    health: str
    findings: list[Told]
    at: float = 0.0


class Eye:
    """Watches a net. Use it as a context manager.

    Attributes:
        glances: what it has told so far.

    Args:
        child: the process that tells its looks, a line of JSON each; it `talks`.
    """

    def __init__(self, child: Child) -> None:
        self.glances: list[Glance] = []
        self._child = child
        self._decode = msgspec.json.Decoder(Glance).decode
        self._ended = ""
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close()
        self._thread.join()

    def wait_until_calm(self) -> None:
        """Wait until nothing is found any more."""
        first = len(self.glances)

        def calm() -> bool:
            assert not self._ended, self._ended
            last = self.glances[first:][-CALM_GLANCES:]
            return len(last) == CALM_GLANCES and not any(each.findings for each in last)

        try:
            wait_until(calm, "nothing is found in a net that is sound", CALM_S_MAX, 0.1)
        except AssertionError as error:
            found = self.glances[-1].findings if self.glances else ()
            raise AssertionError(f"{error}: {'; '.join(each.sentence for each in found)}") from error

    def between(self, since: float, until: float) -> list[Glance]:
        """Return the glances of a time."""
        assert not self._ended, self._ended
        return [each for each in list(self.glances) if since <= each.at < until]

    def _read(self) -> None:
        """Take what it tells until it ends; whoever asks afterwards is told why."""
        try:
            while True:
                glance = self._decode(self._child.hear())
                glance.at = monotonic()
                self.glances.append(glance)
        except (AssertionError, msgspec.DecodeError) as error:
            self._ended = f"the eye tells nothing any more: {error}"
