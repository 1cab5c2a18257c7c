"""Bytes that are no message, and messages that are newer than this broker."""

import msgspec
import pytest

from braidmq.core.broker.broker import TICK_S
from braidmq.core.events.event import WARNING
from braidmq.wire.control import Goodbye, Heartbeat, Hello, Ready, Report, Status, Welcome, encode_control
from braidmq.wire.envelope import CANCEL, COMMON, PREFIX_BYTES, REPLY, REQUEST, VERSION, Envelope, encode
from braidmq.wire.kinds import Control
from tests.support.rigs.broker_rig import Demand, Peers, Rig, Services, packed


def patched(message: bytes, at: int, value: int) -> bytes:
    """Return `message` with one byte changed."""
    return message[:at] + bytes((value,)) + message[at + 1 :]


REQUEST_BYTES = encode(Envelope(REQUEST, b"i" * 16, service=b"echo", tag=7, time_ms=1000))
SERVICE_BYTES_AT = 36
SENDER_BYTES_AT = 37
GARBAGE = {
    "empty": b"",
    "a byte": b"\x01",
    "a length alone": b"\0\0\0\x0c",
    "length zero": bytes(40),
    "length beyond the end": b"\xff\xff\xff\xff" + bytes(40),
    "another major version": patched(REQUEST_BYTES, 4, 0x20),
    "major version zero": patched(REQUEST_BYTES, 4, 0),
    "a REQUEST that is cut off": packed(REQUEST, bytes(10)),
    "a REPLY that is cut off": packed(REPLY),
    "a CANCEL that is cut off": packed(CANCEL, bytes(PREFIX_BYTES - COMMON.size - 1)),
    "a service beyond the end": patched(REQUEST_BYTES, SERVICE_BYTES_AT, 255),
    "a REPLY with a sender beyond the end": patched(patched(REQUEST_BYTES, 5, REPLY), SENDER_BYTES_AT, 255),
    "a HELLO of garbage": packed(Hello.NUMBER, b"\xc1garbage"),
    "a READY without fields": packed(Ready.NUMBER, b"\x80"),
    "a READY of the wrong types": packed(Ready.NUMBER, msgspec.msgpack.encode({"service": 5, "credit": "many"})),
    "a READY with a negative credit": packed(Ready.NUMBER, msgspec.msgpack.encode({"service": "echo", "credit": -1})),
    "a READY of a huge credit": packed(Ready.NUMBER, msgspec.msgpack.encode({"service": "echo", "credit": 2**63})),
    "a control message of invalid UTF-8": packed(Ready.NUMBER, b"\x82\xa7service\xa2\xff\xfe\xa6credit\x01"),
    "deep nesting": packed(Status.NUMBER, b"\x81\xa1x" + b"\x91" * 100_000),
    "an unknown reason to go": packed(Goodbye.NUMBER, msgspec.msgpack.encode({"reason": "bored"})),
    "a tail that is no message": encode_control(Heartbeat(), 0) + b"tail",
}  # fmt: skip


class TestGarbage:
    @pytest.mark.parametrize("frame", GARBAGE.values(), ids=GARBAGE.keys())
    def test_garbage_is_counted_and_costs_nobody_anything(self, frame: bytes) -> None:
        rig = Rig()
        worker, client, hostile = rig.worker(), rig.client(), rig.connect("hostile", calls=("*",), serves=("*",))
        hostile.frame(frame)
        assert rig.counters["malformed"] == 1
        client.request()
        worker.reply(worker.request_in())
        assert client.answer() == (REPLY, 0)

    def test_garbage_is_logged_once_per_session(self) -> None:
        rig = Rig()
        hostile = rig.client()
        for _ in range(50):
            hostile.frame(b"garbage")
        assert rig.counters["malformed"] == 50
        assert sum(event.level == WARNING for event in rig.events) == 1

    def test_what_stands_before_the_garbage_in_a_bundle_counts(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.frame(encode(client.envelope()) + b"garbage" + encode(client.envelope()))
        assert len(worker.requests()) == 1
        assert rig.counters["malformed"] == 1

    def test_malformed_message_does_not_spoil_its_bundle(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.frame(patched(encode(client.envelope()), SERVICE_BYTES_AT, 255) + encode(client.envelope()))
        assert len(worker.requests()) == 1

    @pytest.mark.parametrize("command", [0, 8, 31, 51, 99, 255])
    def test_unknown_command_is_skipped(self, command: int) -> None:
        rig = Rig()
        client = rig.client()
        client.frame(packed(command, b"whatever"))
        assert client.take() == []
        assert rig.counters["malformed"] == 0

    @pytest.mark.parametrize(
        "message", [Welcome("x", "y", 1, 1), Services(["echo"]), Peers([]), Demand("echo", 1), Report()]
    )
    def test_control_messages_that_only_brokers_send_are_skipped(self, message: Control) -> None:
        rig = Rig()
        client = rig.client()
        client.control(message)
        assert client.take() == []
        assert rig.counters["malformed"] == 0

    def test_newer_minor_version_unknown_flags_and_unknown_fields_are_no_reason_to_refuse(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.connect("worker", serves=("*",))
        worker.granted[b"echo"] = 1
        ready = msgspec.msgpack.encode({"service": "echo", "credit": 1, "colour": "blue"})
        worker.frame(packed(Ready.NUMBER, ready, version=VERSION | 5, flags=0x80))
        client.frame(patched(encode(client.envelope(flags=0xF0, payload=b"x")), 4, VERSION | 5))
        (request,) = worker.requests()
        assert (request.flags, request.payload) == (0xF0, b"x")
        assert rig.counters["malformed"] == 0

    def test_status_with_unknown_fields_is_answered(self) -> None:
        rig = Rig()
        eye = rig.connect("eye", observe=True)
        eye.frame(packed(Status.NUMBER, msgspec.msgpack.encode({"verbose": True})))
        rig.advance(TICK_S)
        assert len(eye.of(Report)) == 1
