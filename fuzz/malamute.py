"""What programs that say what they like make of the Malamute bridge: it bears it, and says nothing that kills one."""

import random

import msgspec

from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.core import MalamuteCore
from braidmq.bridges.malamute.options import MalamuteOptions
from braidmq.bridges.malamute.wire import Command, Message
from fuzz.foreign import ForeignRun
from fuzz.script import Script
from tests.support.malamute import heard, judge, mail_to, offer, opening

BYTES_MAX = 1_000

SERVICES = ("a", "b", "net", "c.x")
TEXTS = (b"", b"a", b"b", b"c", b"net", b"$braidmq", b"p", b"x" * 255)
WAITS_S = (0.1, 1.0, 5.0, 12.0, 70.0)

_OPTIONS = msgspec.convert(
    {
        "services": {
            "a": {"frames": "msgpack", "concurrency": 2},
            "b": {"duplicates": "refuse", "errors": "silent", "concurrency": 1, "timeout": "deadline"},
            "c": {"subject": "service"},
        }
    },
    MalamuteOptions,
)


class _Run(ForeignRun):
    def __init__(self, script: Script) -> None:
        super().__init__(
            script,
            lambda rights: MalamuteCore(_OPTIONS, rights, random.Random(7), 2_000),
            ("a", "b", "c*"),
            WAITS_S,
        )
        self._asked: list[bytes] = []
        self.acts = (
            self._say_anything, self._say_something, self._open, self._offer, self._answer_delivery, self.close,
            self.lose, self._call, self.drop, self.end, self.wait,
        )  # fmt: skip

    def say(self, frames: list[bytes]) -> None:
        """Let a program say something, and see that it bears what it hears at once."""
        name = self.who()
        answers = self.net.say(name, *frames)
        said = wire.read(frames)
        self.said += said is not None
        told = [each for each in answers if heard(each).command is not Command.SERVICE_DELIVER]
        if name not in self.net.unreachable and (said is None or said.command is not Command.MAILBOX_SEND):
            judge(frames, answers if said is not None and said.command is Command.SERVICE_OFFER else told)

    def check(self) -> None:
        """See ForeignRun; note whom an answer would go to."""
        for _, frames in self.net.sent:
            told = heard(frames)
            if told.command is Command.SERVICE_DELIVER:
                self._asked.append(told.sender)
        self.net.sent.clear()

    def _say_anything(self) -> None:
        self.say(self.script.frames(4, 40))

    def _say_something(self) -> None:
        script = self.script
        text = [TEXTS[script.number(len(TEXTS))] for _ in range(4)]
        message = Message(
            Command(1 + script.number(len(Command))),
            *(b"MALAMUTE", script.number(3), text[0], text[1], script.some(20), text[2], text[3]),
            content=script.frames(3, 12),
        )
        first, *rest = wire.frames_of(message)
        self.say([first[: len(first) - script.number(3)] + script.some(2), *rest])

    def _open(self) -> None:
        self.say(opening(TEXTS[self.script.number(len(TEXTS))]))

    def _offer(self) -> None:
        self.say(offer(TEXTS[self.script.number(len(TEXTS))], self.script.some(20) or b".*"))

    def _answer_delivery(self) -> None:
        if self._asked:
            sender = self._asked[self.script.number(len(self._asked))]
            self.say(mail_to(sender, *self.script.frames(3, 8)))

    def _call(self) -> None:
        service, script = SERVICES[self.script.number(len(SERVICES))], self.script
        duplicate, subject = bool(script.number(2)), script.some(5).decode(errors="replace")
        payload = script.some(8)
        self.jobs.append(self.net.job(service, payload, duplicate=duplicate, headers={"subject": subject}))


def one(data: bytes) -> int:
    """Let programs and a net do what some bytes say, one thing after the other.

    Returns:
        How many messages of Malamute the programs have said.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    return _Run(Script(data)).play()


SEEDS = (
    bytes((2, 1, 0, 3, 1, 0, 0, 7, 0, 0, 1, 104, 2, 104, 105, 4, 0, 0, 1, 52, 0, 10, 3)),
    bytes((2, 6, 1, 1, 10, 0, 4, 0, 0, 0, 2, 46, 42, 1, 2, 52, 50, 0, 0, 1, 9, 0, 0)),
    bytes((0, 0, 3, 170, 168, 2, 0, 6, 0, 5, 0, 10, 4)),
)
"""A worker that gets a request and answers; a client that asks the net; a stranger."""
