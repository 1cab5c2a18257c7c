import pytest

from braidmq.errors import ConfigError, ProtocolError
from braidmq.messages import Request
from braidmq.wire import extension
from braidmq.wire.extension import (
    NO_METADATA,
    Field,
    decode_headers,
    decode_metadata,
    encode_headers,
    encode_metadata,
    field_of,
    metadata_of,
    pack_field,
)
from braidmq.wire.limits import FIELDS_MAX, HEADERS_BYTES_MAX

COLOUR = 9


class TestHeaders:
    def test_survive(self) -> None:
        headers = {"traceparent": "00-ab-cd-01", "ключ": "значение", "": ""}
        assert decode_headers(encode_headers(headers)) == headers

    def test_none_cost_nothing(self) -> None:
        assert encode_headers({}) == b""
        assert decode_headers(b"") == {}

    @pytest.mark.parametrize("headers", [5, "k=v", ["k"], b"k"])
    def test_that_are_no_mapping_are_refused(self, headers: object) -> None:
        with pytest.raises(ConfigError, match="headers must map"):
            encode_headers(headers)

    @pytest.mark.parametrize("headers", [{"key": 1}, {1: "value"}, {"key": b"value"}, {"key": None}])
    def test_that_are_not_strings_are_refused(self, headers: dict[str, str]) -> None:
        with pytest.raises(ConfigError, match="strings"):
            encode_headers(headers)

    @pytest.mark.parametrize("headers", [{"key": "\ud800"}, {"\udfff": "value"}])
    def test_that_are_not_unicode_are_refused(self, headers: dict[str, str]) -> None:
        with pytest.raises(ConfigError, match="Unicode"):
            encode_headers(headers)

    def test_may_fill_their_bound(self) -> None:
        room = HEADERS_BYTES_MAX - len(b"\x81\xa1k\xda__")
        headers = {"k": "v" * room}
        assert decode_headers(encode_headers(headers)) == headers
        with pytest.raises(ConfigError, match="exceed"):
            encode_headers({"k": "v" * (room + 1)})

    def test_fields_of_other_types_are_skipped(self) -> None:
        other = b"\x07\x00\x02\xc1\xc1"
        headers = {"key": "value"}
        assert decode_headers(other + encode_headers(headers) + other) == headers
        assert decode_headers(other) == {}

    def test_stand_behind_as_many_fields_as_are_looked_at(self) -> None:
        headers = {"key": "value"}
        assert decode_headers(b"\x07\x00\x00" * (FIELDS_MAX - 1) + encode_headers(headers)) == headers

    @pytest.mark.parametrize(
        ("extension", "reason"),
        [
            (b"\x01", "cut off"),
            (b"\x01\x00", "cut off"),
            (b"\x01\x00\x02\x80", "beyond"),
            (b"\x02\xff\xff", "beyond"),
            (b"\x02\x00\x00\x01", "cut off"),
            (b"\x01\x00\x00", "malformed"),
            (b"\x01\x00\x01\x90", "malformed"),
            (b"\x01\x00\x04\x81\xa1\xff\xa0", "malformed"),
            (b"\x07\x00\x00" * (FIELDS_MAX + 1), "more than 64 fields"),
        ],
    )
    def test_malformed_block_is_refused(self, extension: bytes, reason: str) -> None:
        with pytest.raises(ProtocolError, match=reason):
            decode_headers(extension)


class TestMetadata:
    @pytest.fixture
    def coloured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def encode(value: object) -> bytes:
            return pack_field(COLOUR, str(value).encode())

        def decode(block: bytes) -> str:
            return (field_of(block, COLOUR) or b"").decode()

        monkeypatch.setitem(extension._METADATA, "colour", (COLOUR, encode, decode))

    def test_is_what_a_request_shows(self) -> None:
        assert NO_METADATA.keys() <= set(Request.__struct_fields__)

    def test_survives(self) -> None:
        assert decode_metadata(encode_metadata({"headers": {"a": "b"}})) == {"headers": {"a": "b"}}

    def test_none_costs_nothing(self) -> None:
        assert encode_metadata({}) == encode_metadata({"headers": None}) == encode_metadata({"headers": {}}) == b""
        assert decode_metadata(b"") == NO_METADATA == {"headers": {}}

    def test_wrong_argument_is_named(self) -> None:
        with pytest.raises(ConfigError, match="headers must map"):
            encode_metadata({"headers": 5})

    def test_headers_alone_are_told_by_their_bare_body(self) -> None:
        block = encode_headers({"a": "b"})
        assert metadata_of(block) == field_of(block, Field.HEADERS)
        assert metadata_of(pack_field(Field.PROOF, b"key")) == b""

    def test_malformed_block_says_nothing(self) -> None:
        with pytest.raises(ProtocolError):
            metadata_of(b"\x01\x00")

    @pytest.mark.usefixtures("coloured")
    def test_one_more_kind_is_a_line_in_a_table(self) -> None:
        block = encode_metadata({"headers": {"a": "b"}, "colour": "red"})
        assert decode_metadata(block) == {"headers": {"a": "b"}, "colour": "red"}
        assert decode_metadata(b"") == {"headers": {}, "colour": ""}

    @pytest.mark.usefixtures("coloured")
    def test_one_more_kind_makes_another_request(self) -> None:
        told = {metadata_of(encode_metadata({"headers": headers, "colour": colour}))
                for headers in (None, {"a": "b"}) for colour in (None, "red", "blue")}  # fmt: skip
        assert len(told) == 6
