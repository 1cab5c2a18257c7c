import base64
import io
import json
import os
import sys
import tracemalloc
from types import SimpleNamespace

import pytest

from braidmq.cli.call import encode_error, encode_reply, parse_headers, read_payload
from braidmq.errors import ConfigError, DeadlineExceeded, PayloadTooLarge, ServiceError
from braidmq.messages import Reply


def reply(payload):
    return Reply(payload, "w", "c", "s", b"\1" * 16, b"\2" * 16, True, 3, "b1")


def stdin(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


@pytest.mark.parametrize("argument", ["", "hello", "a@b", "gr\u00fc\u00df", os.fsdecode(b"\xff\x00"[:1])])
def test_an_argument_is_the_payload(argument):
    assert read_payload(argument, 100) == os.fsencode(argument)


def test_a_file_is_the_payload(tmp_path):
    (tmp_path / "f").write_bytes(b"\x00\xff\r\n")
    assert read_payload(f"@{tmp_path / 'f'}", 100) == b"\x00\xff\r\n"


def test_stdin_is_the_payload(monkeypatch):
    stdin(monkeypatch, b"\x00\xff\r\n")
    assert read_payload("-", 100) == b"\x00\xff\r\n"


@pytest.mark.parametrize("way", ["argument", "file", "stdin"])
def test_a_payload_may_be_as_large_as_the_limit_and_no_larger(monkeypatch, tmp_path, way):
    (tmp_path / "f").write_bytes(b"12345")
    stdin(monkeypatch, b"12345")
    argument = {"argument": "12345", "file": f"@{tmp_path / 'f'}", "stdin": "-"}[way]
    assert read_payload(argument, 5) == b"12345"
    stdin(monkeypatch, b"12345")
    with pytest.raises(PayloadTooLarge, match="the limit of 4 bytes"):
        read_payload(argument, 4)


def test_no_more_of_a_payload_is_read_than_may_be_sent(monkeypatch):
    stdin(monkeypatch, bytes(1_000))
    with pytest.raises(PayloadTooLarge):
        read_payload("-", 10)
    assert sys.stdin.buffer.tell() == 11


def test_no_more_of_a_file_is_read_than_may_be_sent(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge):
            read_payload(f"@{tmp_path / 'sparse'}", 10)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("argument", ["@", "@/", "@/does/not/exist", "@zero\0byte"])
def test_a_file_that_cannot_be_read_is_a_wrong_argument(argument):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_payload(argument, 100)


def test_headers_are_split_at_the_first_equals_sign():
    assert parse_headers(["a=1", "b=2=3", "c=", "a b= c "]) == {"a": "1", "b": "2=3", "c": "", "a b": " c "}
    assert parse_headers([]) == {}


def test_the_last_of_two_headers_with_one_name_counts():
    assert parse_headers(["a=1", "a=2"]) == {"a": "2"}


@pytest.mark.parametrize("header", ["", "a", "=", "=1"])
def test_what_is_no_header_is_refused(header):
    with pytest.raises(ConfigError, match="write KEY=VALUE"):
        parse_headers(["a=1", header])


def test_a_reply_in_utf_8_is_shown_as_text():
    assert json.loads(encode_reply(reply("gr\u00fc\u00df".encode()), 0.0123456)) == {
        "payload": "gr\u00fc\u00df",
        "encoding": "utf-8",
        "service": "s",
        "sender": "w",
        "broker": "b1",
        "id": "01" * 16,
        "original_id": "02" * 16,
        "retry_count": 3,
        "possible_duplicate": True,
        "elapsed_ms": 12.346,
    }


def test_any_other_reply_is_shown_in_base64():
    shown = json.loads(encode_reply(reply(b"a\xff"), 0.0))
    assert shown["encoding"] == "base64"
    assert base64.b64decode(shown["payload"]) == b"a\xff"


def test_an_error_is_shown_with_what_a_program_needs():
    error = DeadlineExceeded("late", request_id=b"\1" * 16, service="s", attempts=2, maybe_executed=True)
    assert json.loads(encode_error(error)) == {
        "error": "DeadlineExceeded",
        "message": "late",
        "original_id": "01" * 16,
        "attempts": 2,
        "maybe_executed": True,
    }


def test_an_error_of_the_service_is_shown_with_code_and_details():
    error = ServiceError("CODE", "no", {"a": [1, None]}, request_id=b"\1" * 16, attempts=1)
    shown = json.loads(encode_error(error))
    assert (shown["error"], shown["code"], shown["message"], shown["details"]) == (
        "ServiceError",
        "CODE",
        "no",
        {"a": [1, None]},
    )


def test_details_that_json_cannot_hold_are_shown_as_python_shows_them():
    shown = json.loads(encode_error(ServiceError("CODE", "no", {(1, 2): object})))
    assert shown["details"] == "{(1, 2): <class 'object'>}"
