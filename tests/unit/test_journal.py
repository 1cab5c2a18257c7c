import logging
import re
import socket
from pathlib import Path

import pytest

from braidmq import stderr
from braidmq.carrier.event_lines import log_event
from braidmq.core.events.membership import BrokerDied
from braidmq.errors import ConfigError
from braidmq.journal import SOCKET, JournalHandler
from braidmq.lab.processes.waiting import WAIT_S_MAX, wait_until


class Journal:
    """Reads what is sent to a journal: https://systemd.io/JOURNAL_NATIVE_PROTOCOL."""

    def __init__(self, path):
        self.path = str(path)
        self.open()

    def open(self):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(WAIT_S_MAX)

    def close(self):
        self._socket.close()
        Path(self.path).unlink()

    def read(self):
        data, fields = self._socket.recv(1 << 20), {}
        while data:
            line, _, data = data.partition(b"\n")
            name, is_short, value = line.partition(b"=")
            if not is_short:
                size = int.from_bytes(data[:8], "little")
                value, data = data[8 : 8 + size], data[9 + size :]
            fields[name.decode()] = value.decode()
        return fields


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "socket")
    yield journal
    journal.close()


@pytest.fixture
def log(journal):
    logger = logging.getLogger("braidmq.test")
    logger.setLevel("DEBUG")
    handler = JournalHandler(path=journal.path)
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.close()


def test_an_event_has_its_fields(journal, log):
    log_event(log, BrokerDied("b2", "it has not refuted b1"))
    assert journal.read() == {
        "MESSAGE": "b2 is dead: it has not refuted b1",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "braidmq",
        "LOGGER": "braidmq.test",
        "BRAIDMQ_EVENT": "BrokerDied",
        "BRAIDMQ_ABOUT": "b2",
        "BRAIDMQ_WHY": "it has not refuted b1",
    }


@pytest.mark.parametrize(
    ("level", "priority"), [("DEBUG", "7"), ("INFO", "6"), ("WARNING", "4"), ("ERROR", "3"), ("CRITICAL", "2")]
)
def test_a_level_is_a_priority_of_syslog(journal, log, level, priority):
    log.log(getattr(logging, level), "text")
    assert journal.read()["PRIORITY"] == priority


def test_a_traceback_is_a_field(journal, log):
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        log.exception("a handler failed")
    said = journal.read()
    assert said["MESSAGE"] == "a handler failed"
    assert said["EXCEPTION_TEXT"].splitlines()[-1].startswith("ZeroDivisionError")


def test_what_a_peer_says_forges_no_field(journal, log):
    log.info("it says %s", "x\nPRIORITY=0", extra={"why": "y\nMESSAGE=z", "a=b\nc": "d"})
    said = journal.read()
    assert said["MESSAGE"] == "it says x\\nPRIORITY=0"
    assert said["PRIORITY"] == "6"
    assert said["BRAIDMQ_WHY"] == "y\\nMESSAGE=z"
    assert said["BRAIDMQ_A_B_C"] == "d"


def test_who_speaks_is_a_field_and_records_of_others_have_another_prefix(journal):
    handler = JournalHandler("b1-2", journal.path)
    handler.emit(logging.makeLogRecord({"msg": "text", "name": "app", "about": "x", "levelno": 20}))
    said = journal.read()
    assert said["BRAIDMQ_MEMBER"] == "b1-2"
    assert (said["LOGGER"], said["FIELD_ABOUT"]) == ("app", "x")
    handler.close()


def test_a_journal_that_reads_nothing_holds_up_nobody_and_is_told_what_is_lost(journal, log):
    for _ in range(2_000):
        log.info("x" * 7_000, extra={"about": "first"})
    log.handlers[0].flush()  # waits a short time
    come = lost = 0
    while come + lost < 2_000:
        said = journal.read()
        if "BRAIDMQ_ABOUT" in said:
            come += 1
        else:
            found = re.fullmatch(r"\.\.\. ([0-9,]+) records were lost here: .*", said["MESSAGE"])
            assert found is not None
            lost += int(found[1].replace(",", ""))
    assert come + lost == 2_000
    assert lost > 0


def test_a_journal_that_is_started_anew_is_written_to_again(journal, log):
    log.info("one")
    assert journal.read()["MESSAGE"] == "one"
    journal.close()
    log.info("two")
    log.handlers[0].flush()
    journal.open()
    log.info("three")
    wait_until(lambda: journal.read()["MESSAGE"] == "three", "it hears again")


def test_where_there_is_no_journal_that_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no journal at .*: log to stderr, with --log-format json or text"):
        JournalHandler(path=str(tmp_path / "nothing"))


def test_a_record_that_cannot_be_formatted_is_told_on_stderr(log, capfd):
    record = logging.makeLogRecord({"msg": "%d", "args": ("x",), "levelno": logging.INFO, "name": "braidmq.node"})
    log.handlers[0].handle(record)
    stderr.flush()
    assert "cannot be formatted: TypeError" in capfd.readouterr().err


def test_it_is_where_systemd_has_it():
    assert SOCKET == "/run/systemd/journal/socket"
