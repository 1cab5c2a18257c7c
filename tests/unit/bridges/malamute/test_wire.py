"""Malamute's messages as bytes."""

import pytest

from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.wire import Command, Message


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (
            ["aaa801084d414c414d55544500010473686f70"],
            Message(Command.OPEN, protocol=b"MALAMUTE", version=1, address=b"shop"),
        ),
        (["aaa802"], Message(Command.PING)),
        (["aaa80e00c800"], Message(Command.OK, status=200)),
        (["aaa80f01f4026e6f"], Message(Command.ERROR, status=500, reason=b"no")),
        (["aaa80c0770726963696e67022e2a"], Message(Command.SERVICE_OFFER, address=b"pricing", pattern=b".*")),
        (
            ["aaa80b0770726963696e6705707269636503742d31000007d0", "3134", "626c7565"],
            Message(
                Command.SERVICE_SEND,
                address=b"pricing",
                subject=b"price",
                tracker=b"t-1",
                timeout_ms=2000,
                content=[b"14", b"blue"],
            ),
        ),
        (
            ["aaa80a08776f726b65722d310473686f7005707269636503742d31", "3432"],
            Message(
                Command.MAILBOX_DELIVER,
                sender=b"worker-1",
                address=b"shop",
                subject=b"price",
                tracker=b"t-1",
                content=[b"42"],
            ),
        ),
        (["aaa810000a"], Message(Command.CREDIT, amount=10)),
        (
            ["aaa81103742d3100c804646f6e65"],
            Message(Command.CONFIRM, tracker=b"t-1", status=200, reason=b"done"),
        ),
    ],
)
def test_message_is_read_and_written(frames, message):
    frames = [bytes.fromhex(frame) for frame in frames]
    assert wire.read(frames) == message
    assert wire.frames_of(message) == frames


@pytest.mark.parametrize(
    "frame", [b"", b"\xaa", b"\xaa\xa8", b"\xaa\xa9\x02", b"\xaa\xa8\x00", b"\xaa\xa8\x13", b"\xaa\xa8\xff"]
)
def test_what_is_not_of_malamute_is_no_message(frame):
    assert wire.read([frame]) is None


@pytest.mark.parametrize("command", list(Command))
def test_message_that_is_cut_short_is_none(command):
    whole = wire.frames_of(Message(command, protocol=b"pp", address=b"aa", stream=b"ss", pattern=b"", reason=b"r"))[0]
    assert wire.read([whole]) is not None
    assert all(wire.read([whole[:end]]) is None for end in range(len(whole)))


def test_bytes_behind_the_fields_are_skipped():
    assert wire.read([b"\xaa\xa8\x02garbage"]) == Message(Command.PING)


@pytest.mark.parametrize(("protocol", "version"), [(b"MALAMUTX", 1), (b"MALAMUTE", 2), (b"", 0)])
def test_other_protocol_or_version_is_not_spoken(protocol, version):
    assert not wire.speaks_malamute(Message(Command.OPEN, protocol=protocol, version=version))


def test_reason_is_cut_to_what_a_field_holds_without_half_a_character():
    told = wire.read(wire.error("é" * 200))
    assert told is not None
    assert told.reason == "é".encode() * 127
