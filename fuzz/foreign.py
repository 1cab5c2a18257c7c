"""What targets of bridges have in common: some peers before a bridge, and a net behind it, do what a script says."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from braidmq import NoWorker, ServiceError
from braidmq.bridges.port import OWN, BridgeCore, Rights
from braidmq.members import Member, Role
from fuzz.script import Script
from tests.support.foreign_net import ForeignNet

PEERS: Final = ("p", "q", "r")
ENDS: Final = (b"42", b"", b"\x91\xc4\x01x", NoWorker("none"), ServiceError("MINE", maybe_executed=True))


class ForeignRun(ABC):
    """One bridge, its peers, and its net, which provides the service `net` by itself.

    A subclass sets `acts`, and adds to `said`.

    Args:
        script: says what happens.
        make: makes the bridge's core.
        serves: what the bridge may provide.
        waits_s: what time passes at once.

    Attributes:
        acts: what may happen; a number of the script chooses.
        said: how many messages of the bridge's protocol the peers have said.
    """

    acts: tuple[Callable[[], None], ...]

    def __init__(
        self, script: Script, make: Callable[[Rights], BridgeCore], serves: tuple[str, ...], waits_s: tuple[float, ...]
    ) -> None:
        self.script = script
        self.net = ForeignNet(make)
        self.net.members[OWN] = Member("bridge-1", Role.NODE, calls=("*",), serves=serves)
        self.net.services["net"] = None
        self.jobs: list[int] = []
        self.said = 0
        self._waits_s = waits_s

    @abstractmethod
    def check(self) -> None:
        """See that whoever was told something bears it."""

    def play(self) -> int:
        """Let the script happen, one thing after the other; return how many messages the peers have said."""
        while not self.script.over:
            self.acts[self.script.number(len(self.acts))]()
            self.check()
        return self.said

    def who(self) -> str:
        """Return the peer that is meant."""
        return PEERS[self.script.number(len(PEERS))]

    # -- what may happen to each bridge

    def close(self) -> None:
        """End the connection of a peer."""
        self.forget(self.who())

    def forget(self, name: str) -> None:
        """End a connection, and all that is known of it."""
        self.net.close(name)
        self.net.unreachable.discard(name)

    def lose(self) -> None:
        """Let nothing reach a peer."""
        self.net.unreachable.add(self.who())

    def drop(self) -> None:
        """Let nobody wait for one of the jobs any more."""
        left = [number for number in self.jobs if number not in self.net.finished]
        if left:
            number = left[self.script.number(len(left))]
            self.jobs.remove(number)
            self.net.drop(number)

    def end(self) -> None:
        """Let the net answer one of the calls."""
        asked = [number for number, call in self.net.calls.items() if call.service == "net"]
        if asked:
            self.net.answer(asked[self.script.number(len(asked))], ENDS[self.script.number(len(ENDS))])

    def wait(self) -> None:
        """Let time pass."""
        self.net.advance(self._waits_s[self.script.number(len(self._waits_s))])
