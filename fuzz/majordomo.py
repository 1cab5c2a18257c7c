"""What peers make of the Majordomo bridge that say what they like: it bears it, and answers in their dialects only."""

import msgspec

from braidmq.bridges.majordomo import wire
from braidmq.bridges.majordomo.core import MajordomoCore
from braidmq.bridges.majordomo.options import MajordomoOptions
from fuzz.foreign import ForeignRun
from fuzz.script import Script
from tests.support.majordomo import is_allowed

BYTES_MAX = 1_000

SERVICES = (b"a", b"b", b"net", b"no", b"mmi.service", b"mmi.x", b"\xff", b"x" * 300)
ASKS = ((b"", b"MDPC01"), (b"MDPC02", b"\1"), (b"", b"MDPC02", b"\1"), (b"", b"MDPC02", b"\2"), (b"", b"MDPC02"))
FRONTS = ((b"", b"MDPW01"), (b"", b"MDPW02"), (b"MDPW02",))
WAITS_S = (0.1, 1.0, 5.0, 12.0, 40.0)

_OPTIONS = msgspec.convert(
    {"services": {"a": {"frames": "msgpack", "error_frames": True}, "b": {"duplicates": "refuse"}}}, MajordomoOptions
)


class _Run(ForeignRun):
    def __init__(self, script: Script) -> None:
        super().__init__(script, lambda rights: MajordomoCore(_OPTIONS, rights, 2_000), ("a", "b"), WAITS_S)
        self._said: dict[str, list[list[bytes]]] = {}
        self._asked: dict[str, tuple[tuple[bytes, ...], bytes]] = {}
        self.acts = (
            self._say_anything, self._ask, self._register, self._say_as_worker, self.close, self.lose, self._call,
            self.drop, self.end, self.wait,
        )  # fmt: skip

    def say(self, name: str, frames: list[bytes]) -> None:
        """Let a peer say something."""
        self._said.setdefault(name, []).append(frames)
        self.said += wire.read(frames) is not None
        self.net.say(name, *frames)

    def check(self) -> None:
        """See ForeignRun; note whom it has asked something."""
        for name, told in self.net.sent:
            assert is_allowed(told, self._said.get(name, ())), f"{name} does not bear {told}"
            for front in FRONTS:
                if tuple(told[: len(front)]) == front and told[len(front)] == b"\2":
                    self._asked[name] = front, told[len(front) + 1]
        self.net.sent.clear()

    def _say_anything(self) -> None:
        self.say(self.who(), self.script.frames(6, 12))

    def _ask(self) -> None:
        front, service = ASKS[self.script.number(len(ASKS))], SERVICES[self.script.number(len(SERVICES))]
        self.say(self.who(), [*front, service, *self.script.frames(3, 8)])

    def _register(self) -> None:
        front, service = FRONTS[self.script.number(len(FRONTS))], SERVICES[self.script.number(len(SERVICES))]
        self.say(self.who(), [*front, b"\1", service])

    def _say_as_worker(self) -> None:
        name, command, script = self.who(), bytes((1 + self.script.number(8),)), self.script
        front, token = self._asked.get(name, (FRONTS[0], b""))
        if not script.number(4):
            front, token = FRONTS[script.number(len(FRONTS))], script.some(8)
        self.say(name, [*front, command, token, b"", *script.frames(3, 8)])

    def forget(self, name: str) -> None:
        """See ForeignRun."""
        super().forget(name)
        self._said.pop(name, None)
        self._asked.pop(name, None)

    def _call(self) -> None:
        service, script = ("a", "b", "no")[self.script.number(3)], self.script
        duplicate, payload = bool(script.number(2)), script.some(8)
        self.jobs.append(self.net.job(service, payload, duplicate=duplicate))


def one(data: bytes) -> int:
    """Let peers and a net do what some bytes say, one thing after the other.

    Returns:
        How many messages of Majordomo the peers have said.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    return _Run(Script(data)).play()


SEEDS = (
    bytes((2, 0, 1, 0, 6, 1, 0, 2, 104, 105, 3, 0, 2, 1, 0, 1, 52, 9, 1)),
    bytes((1, 0, 2, 1, 0, 2, 52, 50, 8, 0, 0, 1, 1, 4, 1, 0, 1, 120)),
    bytes((0, 2, 5, 0, 6, 77, 68, 80, 67, 48, 49, 1, 97)),
)
"""A worker that gets a request and answers; clients that ask the net and the bridge; a stranger."""
