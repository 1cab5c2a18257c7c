import json
import logging
import re

import pytest

from braidmq import stderr
from braidmq.carrier.event_lines import log_event
from braidmq.core.events.membership import BrokerDied
from braidmq.log_fields import FIELD_CHARS_MAX, FIELDS_MAX, TEXT_CHARS_MAX
from braidmq.log_json import LINE_BYTES_MAX, JsonFormatter
from braidmq.stderr import StderrHandler


@pytest.fixture
def log():
    logger = logging.getLogger("braidmq.test")
    logger.setLevel("DEBUG")
    handler = StderrHandler(formatter=JsonFormatter())
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


@pytest.fixture
def read(capfd):
    def read():
        stderr.flush()
        text = capfd.readouterr().err
        assert text.isascii() or all(line.isprintable() for line in text.splitlines())
        assert text.endswith("\n")
        lines = text[:-1].split("\n")
        assert all(len(line.encode()) <= LINE_BYTES_MAX for line in lines)
        return [json.loads(line) for line in lines]

    return read


def test_an_event_is_one_object_with_its_fields(log, read):
    log_event(log, BrokerDied("b2", "it has not refuted b1"))
    (said,) = read()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("time"))
    assert said == {
        "level": "warning",
        "logger": "braidmq.test",
        "message": "b2 is dead: it has not refuted b1",
        "event": "BrokerDied",
        "fields": {"about": "b2", "why": "it has not refuted b1"},
    }


def test_who_speaks_is_a_field(read):
    handler = StderrHandler("b1-2", JsonFormatter("b1-2"))
    handler.emit(logging.makeLogRecord({"msg": "text", "name": "braidmq.broker"}))
    (said,) = read()
    assert (said["member"], said["message"]) == ("b1-2", "text")


def test_a_traceback_is_a_field_and_no_further_line(log, read):
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        log.exception("a handler failed")
    (said,) = read()
    assert said["message"] == "a handler failed"
    assert said["exception"].splitlines()[0] == "Traceback (most recent call last):"
    assert said["exception"].splitlines()[-1].startswith("ZeroDivisionError")


@pytest.mark.parametrize(
    "text", ['\n{"level": "error"}', "\r\x1b]0;title\x07", "\u2028x", "a\x85b", "\u202etxt", '"\\', "\0"]
)
def test_what_a_peer_says_can_neither_forge_a_record_nor_reach_the_terminal_raw(log, read, text):
    log.info("it says %s", text, extra={"why": text, text: 1})
    (said,) = read()
    assert said["level"] == "info"
    assert said["message"] == f"it says {text}"


def test_what_no_encoding_has_is_escaped():
    record = logging.LogRecord("braidmq.test", logging.INFO, __file__, 1, "it says %s", ("\ud800",), None)
    assert json.loads(JsonFormatter().format(record))["message"] == "it says \\ud800"


def fail(text):
    raise ValueError(text)


@pytest.mark.parametrize("char", ["x", "\x1b", "\U000e0001", "ü"])
def test_whatever_is_too_long_is_cut(log, read, char):
    try:
        fail(char * 100_000)
    except ValueError:
        log.exception("%s", char * 100_000, extra={f"f{number}": char * 100_000 for number in range(100)})
    (said,) = read()
    assert said["message"].endswith(" characters more")
    assert len(said["message"]) < TEXT_CHARS_MAX + 100
    fields = said["fields"]
    assert fields == "left out: too long" or (
        len(fields) == FIELDS_MAX and all(len(each) < FIELD_CHARS_MAX * 13 for each in fields.values())
    )


def test_fields_are_what_every_reader_of_json_can_read(log, read):
    class Odd:
        def __str__(self):
            return "odd"

    extra = {"a": 1, "b": 2**70, "c": 1.5, "d": True, "e": None, "f": b"x", "g": Odd(), "h": float("nan")}
    log.info("text", extra=extra)
    (said,) = read()
    assert said["fields"] == {
        "a": 1, "b": str(2**70), "c": 1.5, "d": True, "e": None, "f": "b'x'", "g": "odd", "h": None,
    }  # fmt: skip


def test_a_field_that_cannot_be_written_ends_nobody(log, capfd):
    class Broken:
        def __str__(self):
            raise RuntimeError("no")

    log.info("text", extra={"a": Broken()})
    stderr.flush()
    assert "cannot be formatted: RuntimeError" in capfd.readouterr().err
