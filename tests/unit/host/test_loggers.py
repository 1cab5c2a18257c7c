import ast
import logging
from pathlib import Path

import pytest

import braidmq
from braidmq.host.loggers import RECORD_CHARS_MAX, own_logger

NASTY = "\n2026-01-01 00:00:00.000 INFO    \x1b[2Jforged\r\x07\x9b31m\x85\u2028\u2029\u202e\u2066\udcff"


class Kept(logging.Handler):
    """A handler of the user's, which knows nothing of escapes."""

    def __init__(self):
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


@pytest.fixture
def kept():
    handler, root = Kept(), logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)


@pytest.mark.parametrize(("form", "arguments"), [("%s says %s", ("n1", NASTY)), (f"n1 says {NASTY}", ())])
def test_what_others_say_is_harmless_in_the_handlers_of_users(kept, form, arguments):
    own_logger("braidmq.escaped").warning(form, *arguments)
    (line,) = kept.lines
    assert line.isprintable()
    assert line.startswith("n1 says \\n2026")


def test_a_record_that_is_harmless_is_left_as_it_is(kept, caplog):
    own_logger("braidmq.escaped").warning("%s says 100 %% gr\u00fc\u00df", "n1")
    assert kept.lines == ["n1 says 100 % gr\u00fc\u00df"]
    assert caplog.records[0].args == ("n1",)


def test_an_escaped_text_is_no_form_any_more(kept):
    own_logger("braidmq.escaped").warning("%s", "\n%s%d%(x)s")
    assert kept.lines == ["\\n%s%d%(x)s"]


def test_a_record_that_is_too_long_is_cut(kept):
    own_logger("braidmq.escaped").warning("%s", "x" * 1_000_000)
    assert kept.lines == ["x" * RECORD_CHARS_MAX + "... and 992,000 characters more"]


def test_a_record_that_has_no_text_goes_on_to_who_can_say_so(monkeypatch):
    record = logging.makeLogRecord({"msg": "%d", "args": ("x",)})
    assert own_logger("braidmq.escaped").filter(record)


def test_every_logger_of_braidmq_is_one_of_these():
    """`logging.getLogger` is for the configuration of others' loggers: no module logs through what it returns."""
    loggers = 0
    for path in Path(braidmq.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                called = ast.unparse(node.value.func)
                assert path.name == "loggers.py" or not called.endswith("getLogger"), path
                loggers += called == "own_logger"
    assert loggers > 10
