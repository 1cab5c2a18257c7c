import struct

import pytest

from braidmq.errors import ProtocolError
from braidmq.wire.envelope import (
    COMMON,
    CONTROL_FIRST,
    FIELDS,
    PREFIX,
    PREFIX_BYTES,
    SENT_AT,
    SENT_END,
    UINT16,
    UINT32,
    VERSION,
    Command,
    Envelope,
    Flag,
    command_of,
    decode,
    encode,
    head_of,
    major_of,
    now_ms,
    reply_id,
    since_ms,
)
from braidmq.wire.limits import EXTENSION_BYTES_MAX

ID = bytes(range(16))


def request(**changes: object) -> Envelope:
    fields: dict[str, object] = {
        "flags": Flag.POSSIBLE_DUPLICATE,
        "retry_count": 1,
        "sent_ms": 2,
        "time_ms": 3,
        "tag": 4,
        "service": b"orders.place",
        "sender": b"shop",
        "receiver": b"worker",
        "code": 5,
        "working_ms": 6,
        "extension": b"\x01\x00\x01\x80",
        "payload": b"payload",
        **changes,
    }
    return Envelope(Command.REQUEST, ID, **fields)  # type: ignore[arg-type]


class TestLayout:
    def test_sizes_are_those_of_the_specification(self) -> None:
        assert (COMMON.size, PREFIX_BYTES) == (12, 44)

    def test_prefix_begins_with_the_common_prefix(self) -> None:
        message = encode(request())
        assert COMMON.unpack_from(message) == PREFIX.unpack_from(message)[:6]

    def test_exchange_commands_are_below_control_commands(self) -> None:
        exchange = {"REQUEST", "REPLY", "WORKING", "REJECT", "CANCEL", "LOST", "RENEW"}
        assert {command.name for command in Command} == exchange
        assert max(Command) < CONTROL_FIRST


class TestEnvelope:
    def test_equal_when_every_field_is(self) -> None:
        assert request() == request()

    @pytest.mark.parametrize("name", [name for name in FIELDS if name != "id"])
    def test_differs_when_one_field_does(self, name: str) -> None:
        changed = request()
        setattr(changed, name, b"other" if isinstance(getattr(changed, name), bytes) else 99)
        assert changed != request()

    def test_differs_from_other_types(self) -> None:
        assert request() != encode(request())

    def test_is_not_hashable(self) -> None:
        with pytest.raises(TypeError):
            hash(request())

    def test_repr_shows_no_payload(self) -> None:
        text = repr(request(payload=b"secret"))
        assert "secret" not in text
        assert "payload=6 bytes" in text
        assert "service=b'orders.place'" in text


class TestEncodeAndDecode:
    def test_every_field_survives(self) -> None:
        assert decode(encode(request())) == request()

    @pytest.mark.parametrize("command", list(Command))
    def test_every_exchange_command_survives(self, command: Command) -> None:
        assert decode(encode(Envelope(command, ID))) == Envelope(command, ID)

    def test_every_field_survives_at_its_bound(self) -> None:
        widest = request(
            flags=255,
            retry_count=255,
            sent_ms=UINT32,
            time_ms=UINT32,
            tag=UINT32,
            service=b"s" * 255,
            sender=b"f" * 255,
            receiver=b"t" * 255,
            code=255,
            working_ms=UINT16,
            extension=b"e" * EXTENSION_BYTES_MAX,
        )
        assert decode(encode(widest)) == widest

    def test_payload_of_megabytes_survives(self) -> None:
        large = request(payload=bytes(3_000_000))
        assert decode(encode(large)).payload == large.payload

    @pytest.mark.parametrize(
        "change", [{"time_ms": -1}, {"tag": UINT32 + 1}, {"service": b"s" * 256}, {"retry_count": 256}]
    )
    def test_field_that_does_not_fit_is_a_bug_of_the_caller(self, change: dict[str, object]) -> None:
        with pytest.raises(struct.error):
            encode(request(**change))

    def test_unknown_flags_and_commands_are_passed_on(self) -> None:
        unknown = Envelope(CONTROL_FIRST - 1, ID, flags=0xFE)
        assert decode(encode(unknown)) == unknown

    @pytest.mark.parametrize("minor", [1, 15])
    def test_newer_minor_version_is_read(self, minor: int) -> None:
        message = bytearray(encode(request()))
        message[4] |= minor
        assert decode(bytes(message)) == request()

    @pytest.mark.parametrize("version", [0x00, 0x0F, 0x20, 0xFF])
    def test_other_major_version_is_refused(self, version: int) -> None:
        message = bytearray(encode(request()))
        message[4] = version
        with pytest.raises(ProtocolError, match="version"):
            decode(bytes(message))

    @pytest.mark.parametrize("command", [0, CONTROL_FIRST, 255])
    def test_command_of_no_exchange_message_is_refused(self, command: int) -> None:
        with pytest.raises(ProtocolError, match=f"command {command}"):
            decode(encode(Envelope(command, ID)))

    def test_every_truncation_is_refused(self) -> None:
        message = encode(request())
        for size in range(len(message)):
            with pytest.raises(ProtocolError):
                decode(message[:size])

    def test_trailing_byte_is_refused(self) -> None:
        with pytest.raises(ProtocolError):
            decode(encode(request()) + b"\0")

    @pytest.mark.parametrize("at", [36, 37, 38, 40])
    def test_string_beyond_the_end_is_refused(self, at: int) -> None:
        message = bytearray(encode(request()))
        message[at] = 255
        with pytest.raises(ProtocolError, match="beyond"):
            decode(bytes(message))

    def test_strings_may_fill_the_message_to_its_last_byte(self) -> None:
        full = request(payload=b"")
        assert decode(encode(full)).payload == b""


class TestFieldsOfItsPrefix:
    def test_can_be_read_alone(self) -> None:
        message = encode(request(sent_ms=0x01020304))
        assert command_of(message) == Command.REQUEST
        assert major_of(message) == 1
        assert int.from_bytes(message[SENT_AT:SENT_END]) == 0x01020304

    def test_have_names(self) -> None:
        message = encode(request())
        head, whole = head_of(message), decode(message)
        assert head == PREFIX.unpack_from(message)
        for name in set(head._fields) & set(FIELDS):
            assert getattr(head, name) == getattr(whole, name)
        assert (head.length, head.version) == (len(message), VERSION)
        assert message[PREFIX_BYTES : head.sender_at] == whole.service
        assert message[head.sender_at : head.receiver_at] == whole.sender
        assert message[head.receiver_at : head.rest_at] == whole.receiver
        assert message[head.rest_at :] == whole.extension + whole.payload
        assert head.payload_bytes == len(whole.payload)

    def test_are_not_there_in_a_message_that_is_cut_off(self) -> None:
        with pytest.raises(ProtocolError, match="cut off"):
            head_of(encode(request())[: PREFIX_BYTES - 1])


class TestTime:
    def test_is_told_in_milliseconds_that_begin_again(self) -> None:
        assert now_ms(1.0005) == 1000
        assert now_ms((UINT32 + 3) / 1000) == 2

    def test_passes_also_where_they_begin_again(self) -> None:
        assert since_ms(UINT32, (UINT32 + 6) / 1000) == 6


class TestReplyId:
    def test_is_the_request_id_with_its_first_bit_set(self) -> None:
        assert reply_id(ID) == b"\x80" + ID[1:]

    def test_differs_from_every_request_id(self) -> None:
        for first in range(0x80):
            request_id = bytes((first,)) + ID[1:]
            assert reply_id(request_id) != request_id
            assert reply_id(request_id)[0] >= 0x80
