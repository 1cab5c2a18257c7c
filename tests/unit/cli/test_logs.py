import logging
import re
import sys

import pytest

from braidmq.cli import printable
from braidmq.cli.logs import log_nothing, log_to_stderr


@pytest.fixture(autouse=True)
def restored():
    root, own, asyncios = logging.getLogger(), logging.getLogger("braidmq"), logging.getLogger("asyncio")
    before = root.handlers[:], root.level, own.handlers[:], asyncios.level
    root.handlers[:] = []
    yield
    root.handlers[:], own.handlers[:] = before[0], before[2]
    root.setLevel(before[1])
    asyncios.setLevel(before[3])


def test_a_record_is_one_line_with_time_level_and_text(capfd):
    log_to_stderr("info")
    logging.getLogger("braidmq.broker").warning("no connection to %s", "b2")
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARNING no connection to b2\n", err)


def test_what_a_peer_says_can_neither_forge_a_record_nor_reach_the_terminal_raw(capfd):
    log_to_stderr("info")
    logging.getLogger("braidmq.broker").info("it says %s", "a\n2026-01-01 00:00:00.000 INFO    \x1b[2Jforged\u2028")
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert "a\\n2026" in err


def test_a_traceback_keeps_its_lines(capfd):
    log_to_stderr("info")
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logging.getLogger("braidmq.node").exception("a handler failed")
    err = capfd.readouterr().err
    assert "ERROR   a handler failed\nTraceback " in err
    assert "\nZeroDivisionError: " in err


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_below_the_level_is_not_logged(capfd, level, shown):
    log_to_stderr(level)
    logger = logging.getLogger("braidmq.node")
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(number, "text")
    assert capfd.readouterr().err.count("text") == shown


def test_a_command_with_a_result_logs_nothing(capfd):
    log_nothing()
    logging.getLogger("braidmq.node").warning("text")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gr\u00fc\u00df", "gr\u00fc\u00df"),
        ("", ""),
        ("a\x1b[31mb\n", "a\\x1b[31mb\\n"),
        ("\u202eright to left", "\\u202eright to left"),
        (b"\xff".decode(sys.getfilesystemencoding(), "surrogateescape"), "\\udcff"),
    ],
)
def test_control_characters_become_escapes(text, shown):
    assert printable(text) == shown
