"""Majordomo's dialects are told apart by what their peers say."""

import pytest

from braidmq.bridges.majordomo import wire
from braidmq.bridges.majordomo.wire import Command


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ([b"", b"MDPC01", b"pricing", b"14"], [b"", b"MDPC01", b"pricing", b"42"]),
        ([b"MDPC02", b"\x01", b"pricing", b"14"], [b"MDPC02", b"\x03", b"pricing", b"42"]),
        ([b"", b"MDPC02", b"\x01", b"pricing", b"14"], [b"", b"MDPC02", b"\x03", b"pricing", b"42"]),
        ([b"", b"MDPC02", b"\x02", b"pricing", b"14"], [b"", b"MDPC02", b"\x04", b"42"]),
        ([b"", b"MDPC02", b"pricing", b"14"], [b"", b"MDPC02", b"pricing", b"42"]),
    ],
    ids=["0.1", "RFC 18", "RFC 18 over REQ", "majortomo", "libmdp"],
)
def test_client_is_answered_in_its_dialect(asked, answered):
    request = wire.read(asked)
    assert isinstance(request, wire.Request)
    assert (request.service, request.body) == (b"pricing", [b"14"])
    assert wire.reply(request.dialect, request.service, [b"42"]) == answered
    assert wire.reply(request.dialect, request.service, []) == [*answered[:-1], b""]


W1, W2 = (b"", b"MDPW01"), (b"", b"MDPW02")
WORKERS = {
    "0.1": (W1, {Command.READY: 1, Command.REQUEST: 2, Command.FINAL: 3, Command.HEARTBEAT: 4, Command.DISCONNECT: 5}),
    "majortomo": (W2, {command: number for number, command in enumerate(Command, 1)}),
    "RFC 18": (W2[1:], {command: number for number, command in enumerate(Command, 1)}),
}


@pytest.mark.parametrize("name", WORKERS)
def test_worker_is_understood_and_told_in_its_dialect(name):
    front, numbers = WORKERS[name]
    for command, number in numbers.items():
        said = wire.read([*front, bytes([number]), b"rest"])
        if command is Command.REQUEST:
            assert said is None, "no worker says it"
            continue
        assert isinstance(said, wire.FromWorker)
        assert (said.command, said.rest) == (command, [b"rest"])
        heartbeat = bytes([numbers[Command.HEARTBEAT]])
        assert wire.told(said.dialect, Command.HEARTBEAT) == [*front, heartbeat]
        assert wire.request(said.dialect, b"token", []) == [*front, b"\x02", b"token", b"", b""]


@pytest.mark.parametrize(
    "frames",
    [
        [b""], [b"x"], [b"", b""], [b"", b"MDPC01"], [b"MDPC01", b"pricing", b"14"], [b"MDPW01", b"\x01", b"pricing"],
        [b"", b"MDPC02", b"\x01"], [b"", b"MDPC02", b"\x02"], [b"MDPC02", b"pricing", b"14"],
        [b"MDPC02", b"\x02", b"p"],
        [b"", b"MDPC03", b"pricing", b"14"], [b"", b"MDPW01", b"\t"], [b"", b"MDPW01", b"\x06"],
        [b"", b"MDPW02", b"\x07"],
        [b"", b"MDPW01", b""], [b"", b"", b"MDPC01", b"pricing", b"14"],
        [b"\xaa\xa4\x04\x06MDPW02\x01\x07pricing"], [b"\xaa\xa4\x01\x06MDPC02\x01\x07pricing", b"14"],
    ],
)  # fmt: skip
def test_all_else_means_nothing(frames):
    assert wire.read(frames) is None
