"""What holds for every message, and for any bytes that a peer may send instead."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braidmq.errors import ProtocolError, ServiceError
from braidmq.members import NAME_BYTES_MAX, SERVICE_BYTES_MAX
from braidmq.wire import control, gossip, operation, registry
from braidmq.wire.bundle import bundle_bytes_max, join, split
from braidmq.wire.control import decode_control, decode_failure, encode_control, encode_failure
from braidmq.wire.envelope import (
    COMMON,
    CONTROL_FIRST,
    UINT16,
    UINT32,
    VERSION,
    Command,
    Envelope,
    decode,
    encode,
    reply_id,
)
from braidmq.wire.extension import decode_headers, encode_headers
from braidmq.wire.kinds import Control
from braidmq.wire.limits import BUNDLE_BYTES
from braidmq.wire.nesting import NESTING_MAX

uint8 = st.integers(0, 255)
uint16 = st.integers(0, UINT16)
uint32 = st.integers(0, UINT32)
short = st.binary(max_size=255)
texts = st.text(max_size=20)
headers = st.dictionaries(texts, texts, max_size=5)
extensions = st.binary(max_size=100) | headers.map(encode_headers)
envelopes = st.builds(
    Envelope,
    st.integers(1, CONTROL_FIRST - 1),
    st.binary(min_size=16, max_size=16),
    flags=uint8,
    retry_count=uint8,
    sent_ms=uint32,
    time_ms=uint32,
    tag=uint32,
    service=short,
    sender=short,
    receiver=short,
    code=uint8,
    working_ms=uint16,
    extension=extensions,
    payload=st.binary(max_size=300),
)

names = st.text(min_size=1, max_size=NAME_BYTES_MAX)
services = st.text(min_size=1, max_size=SERVICE_BYTES_MAX)
totals = st.integers(0, 2**63)
states = st.sampled_from(["up", "suspect", "draining"])
peer_statuses = st.builds(
    control.PeerStatus, names, states, texts, texts, totals, totals, totals, totals, totals, totals
)
node_statuses = st.builds(control.NodeStatus, names, states, totals, totals, serves=st.lists(services, max_size=3))
service_statuses = st.builds(control.ServiceStatus, services, totals, totals, totals, totals)
member_states = st.sampled_from(["alive", "suspect", "leaving", "dead"])
rumors = st.builds(gossip.Rumor, names, uint32, member_states, st.text(max_size=NAME_BYTES_MAX), st.binary(max_size=50))
some_rumors = st.lists(rumors, max_size=3)
versions = st.integers(0, 2**63 - 1)
offsets = st.integers(0, registry.REGISTRY_BYTES_MAX)
blobs = st.binary(max_size=100)
service_abouts = st.builds(gossip.ServiceAbout, services, uint32, uint32)
controls: dict[int, st.SearchStrategy[Control]] = {
    control.Hello.NUMBER: st.builds(control.Hello, software=texts, serial=versions, roster=versions),
    control.Welcome.NUMBER: st.builds(
        control.Welcome,
        broker=names,
        member=names,
        heartbeat_ms=st.integers(1, UINT32),
        payload_bytes_max=uint32,
        software=texts,
    ),
    control.Ready.NUMBER: st.builds(control.Ready, service=services, credit=uint32),
    control.Demand.NUMBER: st.builds(control.Demand, service=services, backlog=uint32),
    control.Heartbeat.NUMBER: st.just(control.Heartbeat()),
    control.Services.NUMBER: st.builds(control.Services, available=st.lists(services, max_size=4)),
    control.Peers.NUMBER: st.builds(
        control.Peers,
        brokers=st.lists(st.builds(control.Peer, st.binary(max_size=100), st.booleans(), member_states), max_size=4),
    ),
    control.Goodbye.NUMBER: st.builds(
        control.Goodbye, reason=st.sampled_from(["draining", "noted", "ended", "no-session", "refused"]), text=texts
    ),
    control.Status.NUMBER: st.just(control.Status()),
    control.Report.NUMBER: st.builds(
        control.Report,
        broker=names,
        software=texts,
        state=states,
        uptime_s=st.floats(allow_nan=False),
        denied=st.booleans(),
        brokers=st.lists(peer_statuses, max_size=2),
        nodes=st.lists(node_statuses, max_size=2),
        nodes_total=totals,
        services=st.lists(service_statuses, max_size=2),
        services_total=totals,
        counters=st.dictionaries(texts, totals, max_size=3),
    ),
    gossip.Ping.NUMBER: st.builds(gossip.Ping, uint32, some_rumors),
    gossip.Ack.NUMBER: st.builds(gossip.Ack, uint32, some_rumors),
    gossip.Probe.NUMBER: st.builds(gossip.Probe, uint32, names, some_rumors),
    gossip.Nack.NUMBER: st.builds(gossip.Nack, uint32),
    gossip.Gossip.NUMBER: st.builds(gossip.Gossip, some_rumors),
    gossip.Sync.NUMBER: st.builds(gossip.Sync, some_rumors, st.booleans()),
    gossip.About.NUMBER: st.builds(
        gossip.About,
        names,
        uint32,
        st.lists(texts, max_size=2),
        uint32,
        uint32,
        uint32,
        settled=st.booleans(),
        services=st.lists(service_abouts, max_size=3),
    ),
    gossip.Seek.NUMBER: st.builds(gossip.Seek, services),
    gossip.Paths.NUMBER: st.builds(gossip.Paths, services, st.lists(names, max_size=3)),
    registry.RegistryVersion.NUMBER: st.builds(
        registry.RegistryVersion, versions, st.binary(max_size=registry.DIGEST_BYTES), st.integers(0, 2**53)
    ),
    registry.RegistryWanted.NUMBER: st.builds(
        registry.RegistryWanted, versions, offsets, st.integers(1, registry.PARTS_AHEAD)
    ),
    registry.RegistryPart.NUMBER: st.builds(registry.RegistryPart, versions, versions, offsets, offsets, blobs),
    registry.RosterIs.NUMBER: st.builds(registry.RosterIs, blobs),
    registry.CertificateIs.NUMBER: st.builds(registry.CertificateIs, blobs, blobs),
    registry.Published.NUMBER: st.builds(
        registry.Published, versions, texts, st.lists(st.builds(registry.BrokerVersion, names, versions), max_size=3)
    ),
    registry.Enrol.NUMBER: st.builds(registry.Enrol, blobs),
    registry.Enrolled.NUMBER: st.builds(
        registry.Enrolled, st.lists(st.builds(registry.EnrolmentRow, blobs, uint32), max_size=3), texts
    ),
    control.Bridging.NUMBER: st.builds(control.Bridging, st.builds(control.BridgeStatus, names, *[uint32] * 6)),
    operation.Operate.NUMBER: st.builds(operation.Operate, uint32, texts, names, st.booleans()),
    operation.Operated.NUMBER: st.builds(operation.Operated, uint32, texts, texts),
    operation.Withheld.NUMBER: st.builds(operation.Withheld, names, st.booleans()),
}
any_control = st.one_of(*controls.values())

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
    | st.binary(max_size=10)
)
packable = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)

CALENDAR_ENDS = [
    edge + offset
    for edge in (int(datetime.min.replace(tzinfo=UTC).timestamp()), int(datetime.max.replace(tzinfo=UTC).timestamp()))
    for offset in (-1, 0, 1, 2)
]

timestamps = st.builds(
    lambda nanoseconds, seconds: b"\xc7\x0c\xff" + nanoseconds.to_bytes(4) + seconds.to_bytes(8, signed=True),
    st.integers(0, 999_999_999) | uint32,
    st.sampled_from(CALENDAR_ENDS) | st.integers(-(2**63), 2**63 - 1),
)

# MessagePack as an attacker writes it: openers that announce more than there is, every kind of extension
# (timestamps among them), invalid UTF-8, integers and floats of any width.
openers = st.sampled_from(
    [
        b"\x91",
        b"\x93",
        b"\x81",
        b"\x82",
        b"\xdc\x00\x02",
        b"\xdd\xff\xff\xff\xff",
        b"\xde\x00\x01",
        b"\xdf\xff\xff\xff\xff",
    ]
)
leaves = st.one_of(
    st.binary(min_size=1, max_size=1),
    st.builds(
        lambda head, body: head + body, st.sampled_from([b"\xcc", b"\xcd", b"\xce", b"\xcf"]), st.binary(max_size=8)
    ),
    st.builds(lambda head, body: head + body, st.sampled_from([b"\xd3", b"\xcb"]), st.binary(min_size=8, max_size=8)),
    st.builds(lambda body: bytes((0xA0 | len(body),)) + body, st.binary(max_size=31)),
    st.builds(lambda head, body: head + body, st.sampled_from([b"\xdb", b"\xc6", b"\xc9"]), st.binary(max_size=12)),
    st.builds(lambda kind, body: b"\xd7" + bytes((kind,)) + body, uint8, st.binary(min_size=8, max_size=8)),
    timestamps,
)
hostile = st.lists(openers | leaves, max_size=12).map(b"".join)


def control_message(command: int, body: bytes, version: int = VERSION) -> bytes:
    return COMMON.pack(COMMON.size + len(body), version, command, 0, 0, 0) + body


def failure_payload(details: bytes) -> bytes:
    return b"\x82\xa4code\xa1x\xa7details" + details


def relength(message: bytes) -> bytes:
    """Mend the length, so that a mutation reaches what is behind it."""
    return len(message).to_bytes(4) + message[4:]


@st.composite
def mutations(draw: st.DrawFn, valid: st.SearchStrategy[bytes]) -> bytes:
    """A valid message after byte flips, truncations, insertions and deletions."""
    message = bytearray(draw(valid))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(message) - 1)))
        match draw(st.sampled_from(["flip", "cut", "insert", "delete"])):
            case "flip" if message:
                message[at] ^= draw(st.integers(1, 255))
            case "cut":
                del message[at:]
            case "insert":
                message[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                del message[at : at + draw(st.integers(1, 8))]
    mutated = bytes(message)
    return relength(mutated) if len(mutated) >= 4 and draw(st.booleans()) else mutated


def decodes_or_is_refused(reader: Callable[[bytes], Any], data: bytes) -> None:
    """Any exception but ProtocolError fails the test."""
    refusal = ""
    try:
        reader(data)
    except ProtocolError as error:
        refusal = str(error)
    assert len(refusal.splitlines()) <= 1
    assert len(refusal) < 500


def read_everything(message: bytes) -> None:
    """What a peer does with a message: read the envelope, and then what it carries."""
    envelope = decode(message)
    decodes_or_is_refused(decode_headers, envelope.extension)
    decodes_or_is_refused(decode_failure, envelope.payload)


class TestRoundTrip:
    @given(envelopes)
    def test_every_exchange_message_survives(self, envelope: Envelope) -> None:
        message = encode(envelope)
        assert decode(message) == envelope
        assert int.from_bytes(message[:4]) == len(message)

    @given(envelopes)
    def test_what_was_decoded_encodes_to_the_same_bytes(self, envelope: Envelope) -> None:
        message = encode(envelope)
        assert encode(decode(message)) == message

    @pytest.mark.parametrize("command", controls, ids=lambda command: control.KINDS[command].__name__)
    @given(data=st.data(), sent_ms=uint32)
    def test_every_control_message_survives(self, command: int, data: st.DataObject, sent_ms: int) -> None:
        message = data.draw(controls[command])
        encoded = encode_control(message, sent_ms)
        assert decode_control(encoded) == message
        assert COMMON.unpack_from(encoded) == (len(encoded), VERSION, command, 0, 0, sent_ms)

    def test_every_control_command_is_covered(self) -> None:
        assert controls.keys() == control.KINDS.keys()

    @given(headers)
    def test_headers_survive(self, some: dict[str, str]) -> None:
        assert decode_headers(encode_headers(some)) == some

    @given(texts, texts, packable)
    def test_error_of_a_handler_survives(self, code: str, message: str, details: Any) -> None:
        error = ServiceError("CODE", message, details)
        error.code = code  # whatever text it is
        assert decode_failure(encode_failure(error, 1_000_000)) == control.Failure(code, message, details)

    @given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
    def test_reply_ids_are_as_unique_as_request_ids(self, first: bytes, second: bytes) -> None:
        first, second = (bytes((one[0] & 0x7F,)) + one[1:] for one in (first, second))
        assert (reply_id(first) == reply_id(second)) == (first == second)
        assert reply_id(first) != second


class TestAnyBytes:
    @pytest.mark.parametrize("reader", [decode, decode_control, decode_headers, decode_failure])
    @given(data=st.binary(max_size=200))
    def test_decode_or_are_refused(self, reader: Callable[[bytes], Any], data: bytes) -> None:
        decodes_or_is_refused(reader, data)

    @given(uint8, uint8, st.binary(max_size=200))
    def test_behind_a_true_length_decode_or_are_refused(self, version: int, command: int, rest: bytes) -> None:
        message = relength(bytes(4) + bytes((version, command)) + rest)
        decodes_or_is_refused(read_everything, message)
        decodes_or_is_refused(decode_control, message)

    @given(mutations(envelopes.map(encode)))
    def test_mutated_exchange_message_decodes_or_is_refused(self, message: bytes) -> None:
        decodes_or_is_refused(read_everything, message)

    @given(mutations(envelopes.map(encode)))
    def test_mutated_exchange_message_that_decodes_lost_nothing(self, message: bytes) -> None:
        try:
            envelope = decode(message)
        except ProtocolError:
            return
        assert encode(envelope) == message[:4] + bytes((VERSION,)) + message[5:]

    @given(envelopes.map(encode), st.data())
    def test_exchange_message_that_is_not_whole_is_refused(self, message: bytes, data: st.DataObject) -> None:
        size = data.draw(st.integers(0, len(message) - 1))
        with pytest.raises(ProtocolError):
            decode(message[:size])
        with pytest.raises(ProtocolError):
            decode(message + message[:size] + b"\0")

    @given(mutations(st.builds(encode_control, any_control, uint32)))
    def test_mutated_control_message_decodes_or_is_refused(self, message: bytes) -> None:
        decodes_or_is_refused(decode_control, message)

    @given(mutations(headers.map(encode_headers)))
    def test_mutated_headers_decode_or_are_refused(self, extension: bytes) -> None:
        decodes_or_is_refused(decode_headers, extension)

    @given(
        mutations(st.builds(lambda details: encode_failure(ServiceError("CODE", "text", details), 1_000_000), packable))
    )
    def test_mutated_error_decodes_or_is_refused(self, payload: bytes) -> None:
        decodes_or_is_refused(decode_failure, payload)

    @given(st.sampled_from([*controls]), hostile)
    def test_hostile_messagepack_decodes_or_is_refused(self, command: int, body: bytes) -> None:
        decodes_or_is_refused(decode_control, control_message(command, body))
        decodes_or_is_refused(decode_control, control_message(command, b"\x81\xa3new" + body))
        decodes_or_is_refused(decode_failure, body)
        decodes_or_is_refused(decode_failure, failure_payload(body))
        decodes_or_is_refused(decode_headers, b"\x01" + len(body).to_bytes(2) + body)

    @given(timestamps)
    def test_timestamp_of_any_age_decodes_or_is_refused(self, timestamp: bytes) -> None:
        decodes_or_is_refused(decode_failure, failure_payload(timestamp))

    @given(st.lists(openers, min_size=1, max_size=4), st.integers(1, 100_000), st.binary(max_size=4))
    def test_nesting_of_any_depth_decodes_or_is_refused(self, pattern: list[bytes], depth: int, end: bytes) -> None:
        nested = b"".join(pattern) * (depth // len(pattern)) + end
        decodes_or_is_refused(decode_failure, failure_payload(nested))
        decodes_or_is_refused(decode_control, control_message(control.Hello.NUMBER, b"\x81\xa3new" + nested))

    @given(st.lists(packable, max_size=3), packable)
    def test_nesting_is_counted_whatever_stands_beside_it(self, beside: list[Any], inner: Any) -> None:
        deepest = inner
        for _ in range(NESTING_MAX - 1 - depth_of(inner)):
            deepest = [*beside, deepest] if depth_of(beside) <= depth_of(inner) + 1 else [deepest]
        assert depth_of(deepest) == NESTING_MAX - 1
        assert decode_failure(failure_payload(msgspec.msgpack.encode(deepest))).details == deepest
        with pytest.raises(ProtocolError, match="nested"):
            decode_failure(failure_payload(msgspec.msgpack.encode([deepest])))


def depth_of(value: Any) -> int:
    """Return how many lists and maps of a value are within one another."""
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(depth_of, value.values() if isinstance(value, dict) else value), default=0)


class TestNewerMinorVersion:
    @given(envelopes.map(encode), st.integers(0, 15))
    def test_exchange_message_is_read_like_ours(self, message: bytes, minor: int) -> None:
        newer = message[:4] + bytes((VERSION | minor,)) + message[5:]
        assert decode(newer) == decode(message)

    @given(envelopes.map(encode), st.integers(0, 15).filter(lambda major: major != VERSION >> 4), st.integers(0, 15))
    def test_other_major_version_is_refused(self, message: bytes, major: int, minor: int) -> None:
        other = message[:4] + bytes((major << 4 | minor,)) + message[5:]
        with pytest.raises(ProtocolError):
            decode(other)
        with pytest.raises(ProtocolError):
            decode_control(other)

    @given(any_control, st.dictionaries(texts.filter(bool).map("new-".__add__), packable, max_size=3), st.data())
    def test_unknown_fields_are_skipped_wherever_they_stand(
        self, message: Control, unknown: dict[str, Any], data: st.DataObject
    ) -> None:
        fields = msgspec.to_builtins(message, builtin_types=(bytes,)) | unknown
        order = data.draw(st.permutations(list(fields)))
        body = msgspec.msgpack.encode({name: fields[name] for name in order})
        command = encode_control(message, 0)[5]
        assert decode_control(control_message(command, body, version=VERSION | 1)) == message

    @given(st.integers(max(control.KINDS) + 1, 255), st.binary(max_size=50), st.integers(0, 15))
    def test_unknown_control_command_is_skipped_unread(self, command: int, body: bytes, minor: int) -> None:
        assert decode_control(control_message(command, body, version=VERSION | minor)) is None

    @given(st.integers(max(Command) + 1, CONTROL_FIRST - 1), envelopes)
    def test_unknown_exchange_command_is_passed_on(self, command: int, envelope: Envelope) -> None:
        envelope.command = command
        assert encode(decode(encode(envelope))) == encode(envelope)

    @given(headers, st.lists(st.tuples(st.integers(0, 255).filter(lambda kind: kind != 1), st.binary(max_size=20))))
    def test_unknown_extension_fields_are_skipped(self, some: dict[str, str], others: list[tuple[int, bytes]]) -> None:
        block = b"".join(bytes((kind,)) + len(body).to_bytes(2) + body for kind, body in others)
        assert decode_headers(block + encode_headers(some)) == some
        assert decode_headers(encode_headers(some) + block) == some


small_messages = envelopes.map(encode) | st.builds(encode_control, any_control, uint32)
large_messages = st.integers(10_000, 3 * BUNDLE_BYTES).map(
    lambda size: encode(Envelope(Command.REPLY, bytes(16), payload=bytes(size)))
)


class TestBundle:
    @given(st.lists(small_messages | large_messages, max_size=20))
    def test_split_is_the_inverse_of_join(self, messages: list[bytes]) -> None:
        received: list[bytes] = []
        for frame, count in join(messages):
            part, whole = split(frame)
            assert whole
            assert len(part) == count > 0
            received += part
        assert received == messages

    @given(st.lists(small_messages | large_messages, min_size=1, max_size=20))
    def test_bundles_respect_their_bound_and_are_as_few_as_it_allows(self, messages: list[bytes]) -> None:
        bundles = list(join(messages))
        for frame, count in bundles:
            assert len(frame) <= BUNDLE_BYTES or count == 1
            assert len(frame) <= bundle_bytes_max(max(map(len, messages)))
        at = 0
        for (frame, count), _next in itertools.pairwise(bundles):
            at += count
            assert len(frame) + len(messages[at]) > BUNDLE_BYTES

    @given(st.lists(small_messages, max_size=5), st.data())
    def test_malformed_message_keeps_what_stands_before_it(self, before: list[bytes], data: st.DataObject) -> None:
        message = data.draw(small_messages)
        size = data.draw(st.integers(0, COMMON.size - 1) | st.integers(len(message) + 1, UINT32))
        frame = b"".join(before) + size.to_bytes(4) + message[4:]
        assert split(frame) == (before, False)

    @given(st.lists(small_messages, max_size=4), st.data())
    def test_truncated_bundle_keeps_the_whole_messages(self, messages: list[bytes], data: st.DataObject) -> None:
        frame = b"".join(messages)
        size = data.draw(st.integers(0, len(frame)))
        kept, whole = split(frame[:size])
        assert kept == messages[: len(kept)]
        assert sum(map(len, kept)) <= size
        assert whole == (sum(map(len, kept)) == size > 0)
        assert len(kept) == len(messages) or size < sum(map(len, messages[: len(kept) + 1]))

    @given(st.binary(max_size=300) | mutations(st.lists(small_messages, min_size=1, max_size=4).map(b"".join)))
    def test_any_frame_splits_into_a_prefix_of_itself(self, frame: bytes) -> None:
        messages, whole = split(frame)
        joined = b"".join(messages)
        assert frame.startswith(joined)
        assert whole == (joined == frame != b"")
        for message in messages:
            assert int.from_bytes(message[:4]) == len(message) >= COMMON.size

    @given(st.lists(small_messages, max_size=4), small_messages, st.lists(small_messages, max_size=4))
    def test_wrong_version_inside_a_bundle_harms_no_other_message(
        self, before: list[bytes], message: bytes, after: list[bytes]
    ) -> None:
        foreign = message[:4] + b"\x20" + message[5:]
        messages, whole = split(b"".join([*before, foreign, *after]))
        assert (messages, whole) == ([*before, foreign, *after], True)
        with pytest.raises(ProtocolError):
            (decode if foreign[5] < CONTROL_FIRST else decode_control)(foreign)
