"""The golden vectors of tests/vectors, whose README.md says how to read them."""

import json
import struct
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from braidmq.errors import ProtocolError, ServiceError
from braidmq.wire import bundle, control, envelope, extension, gossip, registry
from braidmq.wire.envelope import Command, Envelope
from braidmq.wire.kinds import Control

VECTORS = Path(__file__).parents[2] / "vectors"
BYTES_FIELDS = {"id", "extension", "payload"}
TEXT_FIELDS = {"service", "sender", "receiver"}
BLOB_FIELDS = {
    "HELLO": ("instance",),
    "REGISTRYVERSION": ("digest",),
    "REGISTRYPART": ("data",),
    "ROSTERIS": ("roster",),
    "CERTIFICATEIS": ("certificate", "invitation"),
    "ENROL": ("enrolment",),
}


def load(name: str) -> list[dict[str, Any]]:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


EXCHANGE, CONTROL, BUNDLE, MALFORMED = load("exchange"), load("control"), load("bundle"), load("malformed")
BY_NAME = {vector["name"]: bytes.fromhex(vector["hex"]) for vector in EXCHANGE + CONTROL}
CONTROL_TYPES = {kind.__name__.upper(): kind for kind in control.KINDS.values()}
READERS = {
    "exchange": envelope.decode,
    "control": control.decode_control,
    "headers": extension.decode_headers,
    "failure": control.decode_failure,
}


def each(vectors: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("vector", vectors, ids=[vector["name"] for vector in vectors])


def envelope_of(vector: dict[str, Any]) -> Envelope:
    fields: dict[str, Any] = {
        name: bytes.fromhex(value) if name in BYTES_FIELDS else value.encode() if name in TEXT_FIELDS else value
        for name, value in vector["fields"].items()
    }
    return Envelope(**fields)


def with_certificate(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields as they are in memory; a state is the very constant, so that the default is left out."""
    return {**fields, "certificate": bytes.fromhex(fields["certificate"]), "state": sys.intern(fields["state"])}


def control_of(vector: dict[str, Any]) -> Control:
    fields = dict(vector["fields"])
    for name in BLOB_FIELDS.get(vector["command"], ()):
        fields[name] = bytes.fromhex(fields[name])
    if vector["command"] == "PEERS":
        fields["brokers"] = [control.Peer(**with_certificate(broker)) for broker in fields["brokers"]]
    for rumors in fields.keys() & {"rumors", "members"}:
        fields[rumors] = [gossip.Rumor(**with_certificate(rumor)) for rumor in fields[rumors]]
    if vector["command"] == "ABOUT":
        fields["services"] = [gossip.ServiceAbout(**service) for service in fields["services"]]
    if vector["command"] == "PUBLISHED":
        fields["brokers"] = [registry.BrokerVersion(**broker) for broker in fields["brokers"]]
    if vector["command"] == "ENROLLED":
        fields["rows"] = [
            registry.EnrolmentRow(bytes.fromhex(row["enrolment"]), row["seen_s"]) for row in fields["rows"]
        ]
    return msgspec.convert(fields, CONTROL_TYPES[vector["command"]])


@each(EXCHANGE)
def test_exchange_message_decodes_to_its_fields(vector: dict[str, Any]) -> None:
    assert envelope.decode(bytes.fromhex(vector["hex"])) == envelope_of(vector)


@each([vector for vector in EXCHANGE if "decode_only" not in vector])
def test_exchange_fields_encode_to_these_bytes(vector: dict[str, Any]) -> None:
    assert envelope.encode(envelope_of(vector)).hex() == bytes.fromhex(vector["hex"]).hex()


@each([vector for vector in EXCHANGE if "headers" in vector])
def test_extension_block_decodes_to_its_headers(vector: dict[str, Any]) -> None:
    assert extension.decode_headers(bytes.fromhex(vector["fields"]["extension"])) == vector["headers"]


def test_headers_encode_to_these_bytes() -> None:
    vector = next(vector for vector in EXCHANGE if vector["name"] == "request_headers")
    assert extension.encode_headers(vector["headers"]).hex() == vector["fields"]["extension"]


@each([vector for vector in EXCHANGE if "failure" in vector])
def test_payload_of_an_error_decodes_to_its_failure_and_back(vector: dict[str, Any]) -> None:
    payload, failure = bytes.fromhex(vector["fields"]["payload"]), vector["failure"]
    assert control.decode_failure(payload) == control.Failure(**failure)
    assert control.encode_failure(ServiceError(**failure), 10_000) == payload


@each(CONTROL)
def test_control_message_decodes_to_its_fields(vector: dict[str, Any]) -> None:
    message = bytes.fromhex(vector["hex"])
    expected = None if vector["fields"] is None else control_of(vector)
    assert control.decode_control(message) == expected
    length, _version, command, _flags, _retry_count, sent_ms = envelope.COMMON.unpack_from(message)
    assert (length, command, sent_ms) == (len(message), vector["number"], vector["sent_ms"])


@each([vector for vector in CONTROL if "decode_only" not in vector])
def test_control_fields_encode_to_these_bytes(vector: dict[str, Any]) -> None:
    assert control.encode_control(control_of(vector), vector["sent_ms"]).hex() == bytes.fromhex(vector["hex"]).hex()


@each(BUNDLE)
def test_bundle_splits_into_its_messages(vector: dict[str, Any]) -> None:
    messages = [BY_NAME[name] for name in vector["messages"]]
    assert bundle.split(bytes.fromhex(vector["hex"])) == (messages, vector["well_formed"])


@each([vector for vector in BUNDLE if vector["well_formed"]])
def test_messages_join_to_this_bundle(vector: dict[str, Any]) -> None:
    messages = [BY_NAME[name] for name in vector["messages"]]
    assert list(bundle.join(messages)) == [(bytes.fromhex(vector["hex"]), len(messages))]


@each(MALFORMED)
def test_malformed_bytes_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        READERS[vector["reader"]](bytes.fromhex(vector["hex"]))


def test_every_command_has_a_vector() -> None:
    named = {vector["command"] for vector in EXCHANGE + CONTROL if "command" in vector}
    numbers = {**Command.__members__, **{name: kind.NUMBER for name, kind in CONTROL_TYPES.items()}}
    assert named == numbers.keys()
    for vector in EXCHANGE + CONTROL:
        if "command" in vector:
            assert vector.get("number", vector["fields"].get("command")) == numbers[vector["command"]]


def test_names_are_unique() -> None:
    names = [vector["name"] for vector in EXCHANGE + CONTROL]
    assert len(names) == len(set(names))
    for vectors in (BUNDLE, MALFORMED):
        assert len({vector["name"] for vector in vectors}) == len(vectors)


class TestIndependentReading:
    """Reads a few vectors by offset, without any of the code under test."""

    def test_request(self) -> None:
        raw = BY_NAME["request_retried"]
        assert struct.unpack_from("!I", raw, 0)[0] == len(raw) == 44 + 12 + 6 + 8 + 0 + 4
        assert raw[4] == 0x10  # version 1.0
        assert raw[5] == 1  # REQUEST
        assert raw[6] == 0b0000_0001  # flags: possible duplicate
        assert raw[7] == 1  # retry count
        assert struct.unpack_from("!I", raw, 8)[0] == 4_294_967_294  # sent
        assert struct.unpack_from("!I", raw, 12)[0] == 3_999  # time left
        assert struct.unpack_from("!I", raw, 16)[0] == 0x01020304  # tag
        assert raw[20:36].hex() == "00112233445566778899aabbccddeeff"  # id
        assert raw[36] == 12  # bytes of the service
        assert raw[37] == 6  # bytes of the sender
        assert raw[38] == 8  # bytes of the receiver
        assert raw[39] == 0  # code
        assert struct.unpack_from("!H", raw, 40)[0] == 0  # bytes of the extension block
        assert struct.unpack_from("!H", raw, 42)[0] == 333  # WORKING interval
        assert raw[44:56] == b"orders.place"
        assert raw[56:62] == b"shop-1"
        assert raw[62:70] == b"worker-2"
        assert raw[70:] == b"\x00\xff\x00\xff"

    def test_request_with_headers(self) -> None:
        raw = BY_NAME["request_headers"]
        size = struct.unpack_from("!H", raw, 40)[0]
        assert raw[36:39] == bytes((4, 0, 0))
        extension, payload = raw[48 : 48 + size], raw[48 + size :]
        assert extension[0] == 1  # headers
        assert struct.unpack_from("!H", extension, 1)[0] == size - 3
        assert extension[3] == 0x81  # a map of one entry
        assert extension[4:16] == b"\xabtraceparent"
        assert extension[16:18] == bytes((0xD9, 55))  # a string of 55 bytes
        assert extension[18:] == b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        assert payload == b"x"

    def test_reply(self) -> None:
        raw = BY_NAME["reply"]
        assert struct.unpack_from("!I", raw, 0)[0] == len(raw) == 44 + 12 + 8 + 6 + 0 + 4
        assert raw[4:8] == bytes((0x10, 2, 0, 0))  # version 1.0, REPLY, no flags, no retry
        assert struct.unpack_from("!I", raw, 8)[0] == 1_234  # sent
        assert struct.unpack_from("!I", raw, 12)[0] == 0  # time means nothing here
        assert struct.unpack_from("!I", raw, 16)[0] == 7  # the tag of the request
        assert raw[20:36].hex() == "00112233445566778899aabbccddeeff"  # the id of the request
        assert raw[36:40] == bytes((12, 8, 6, 0))  # bytes of service, sender, receiver; code RESULT
        assert raw[40:44] == bytes(4)
        assert raw[44:56] == b"orders.place"
        assert raw[56:64] == b"worker-2"
        assert raw[64:70] == b"shop-1"
        assert raw[70:] == b"done"

    def test_control_message(self) -> None:
        raw = BY_NAME["ready"]
        assert struct.unpack_from("!I", raw, 0)[0] == len(raw)
        assert raw[4:8] == bytes((0x10, 34, 0, 0))  # version 1.0, READY, reserved, reserved
        assert struct.unpack_from("!I", raw, 8)[0] == 0  # sent
        assert raw[12:] == b"\x82\xa7service\xacorders.place\xa6credit\x08"

    def test_rumor(self) -> None:
        raw = BY_NAME["ping"]
        assert struct.unpack_from("!I", raw, 0)[0] == len(raw)
        assert raw[4:8] == bytes((0x10, 42, 0, 0))  # version 1.0, PING, reserved, reserved
        head, first, second = raw[12:29], raw[29:59], raw[59:]
        assert head == b"\x82\xa6number\x07\xa6rumors\x92"
        assert first == b"\x95\xa8broker-b\x03\xa7suspect\xa8broker-c\xc4\x00"
        assert second == b"\x95\xa8broker-d\x00\xa5alive\xa0\xc4\x03\x00\xc1\xff"

    def test_bundle(self) -> None:
        vector = next(vector for vector in BUNDLE if vector["name"] == "mixed")
        raw = bytes.fromhex(vector["hex"])
        at, commands = 0, []
        while at < len(raw):
            commands.append(raw[at + 5])
            at += struct.unpack_from("!I", raw, at)[0]
        assert at == len(raw)
        assert commands == [34, 35, 3, 2, 5]  # READY, HEARTBEAT, WORKING, REPLY, CANCEL
