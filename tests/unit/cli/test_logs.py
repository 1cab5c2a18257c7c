import logging
import re
import warnings

import pytest

from braidmq import stderr
from braidmq.cli.logs import log_nothing, log_to_stderr


@pytest.fixture(autouse=True)
def restored():
    root, own, asyncios = logging.getLogger(), logging.getLogger("braidmq"), logging.getLogger("asyncio")
    before = root.handlers[:], root.level, own.handlers[:], asyncios.level
    root.handlers[:] = []
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], own.handlers[:] = before[0], before[2]
    root.setLevel(before[1])
    asyncios.setLevel(before[3])


def read(capfd):
    """Return what was written to stdout and stderr."""
    stderr.flush()
    return capfd.readouterr()


def test_a_record_is_one_line_with_time_level_and_text(capfd):
    log_to_stderr("info")
    logging.getLogger("braidmq.broker").warning("no connection to %s", "b2")
    out, err = read(capfd)
    assert out == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARNING no connection to b2\n", err)


def test_what_a_peer_says_can_neither_forge_a_record_nor_reach_the_terminal_raw(capfd):
    log_to_stderr("info")
    logging.getLogger("braidmq.broker").info("it says %s", "a\n2026-01-01 00:00:00.000 INFO    \x1b[2Jforged\u2028")
    err = read(capfd).err
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert "a\\n2026" in err


def test_a_traceback_keeps_its_lines_each_with_a_mark(capfd):
    log_to_stderr("info")
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logging.getLogger("braidmq.node").exception("a handler failed")
    err = read(capfd).err
    assert "ERROR   a handler failed\n  | Traceback " in err
    assert "\n  | ZeroDivisionError: " in err


def fail(text):
    raise ValueError(text)


@pytest.mark.parametrize(
    "forged", ["\n2026-01-01 00:00:00.000 INFO    \x1b[2Jforged", "\r\x1b]0;title\x07", "\u2028x", "a\x85b"]
)
def test_what_an_exception_says_can_neither_forge_a_record_nor_reach_the_terminal_raw(capfd, forged):
    log_to_stderr("info")
    try:
        fail(forged)
    except ValueError:
        logging.getLogger("braidmq.node").exception("a handler failed with %s", forged, stack_info=True)
    first, *rest = read(capfd).err.split("\n")[:-1]
    assert first.isprintable()
    for line in rest:
        assert line.startswith("  | ")
        assert line.isprintable()


def test_a_record_that_is_too_long_is_cut(capfd):
    log_to_stderr("info")
    logging.getLogger("app").info("x" * 100_000)
    assert (
        read(capfd).err.split("\n")[1]
        == f"  | ... and {100_000 - 65_536 + len('2026-01-01 00:00:00.000 INFO    '):,} bytes more"
    )


def test_a_record_that_cannot_be_formatted_is_told(capfd):
    log_to_stderr("info")
    logging.getLogger("braidmq.node").info("%d", "x")
    line = read(capfd).err
    assert "a record of braidmq.node (test_logs.py:" in line
    assert "cannot be formatted: TypeError" in line


def test_a_warning_is_a_record_too(capfd):
    log_to_stderr("info")
    warnings.showwarning("old\x1b", UserWarning, "app.py", 7)
    assert "UserWarning: old\\x1b" in read(capfd).err


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_below_the_level_is_not_logged(capfd, level, shown):
    log_to_stderr(level)
    logger = logging.getLogger("braidmq.node")
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(number, "text")
    assert read(capfd).err.count("text") == shown


def test_a_command_with_a_result_logs_nothing(capfd):
    log_nothing()
    logging.getLogger("braidmq.node").warning("text")
    assert read(capfd) == ("", "")


def test_where_several_write_each_text_begins_with_the_name_of_who_says_it(capfd):
    log_to_stderr("info", "b1-2")
    logging.getLogger("braidmq.broker").warning("no connection to %s", "b2")
    assert re.fullmatch(r"\S+ \S+ WARNING b1-2: no connection to b2\n", read(capfd).err)
