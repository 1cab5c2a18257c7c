import importlib.util
import io
import os
from contextlib import suppress
from types import SimpleNamespace

import pytest

from braidmq.lab.demo import view
from braidmq.lab.demo.board import Board
from braidmq.lab.demo.plan import Plan
from braidmq.lab.demo.view import PlainView, choose_view


class Terminal(io.StringIO):
    encoding = "utf-8"

    def __init__(self):
        super().__init__()
        self.reader, self.writer = os.pipe()

    def fileno(self):
        return self.writer

    def shown(self):
        os.close(self.writer)
        with os.fdopen(self.reader) as reader:
            return reader.read()

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Let the module see a terminal; not by the real `sys`, whose stdout pytest replaces when the test begins."""
    terminal = Terminal()
    monkeypatch.setattr(view, "sys", SimpleNamespace(stdout=terminal))
    yield terminal
    for descriptor in (terminal.reader, terminal.writer):
        with suppress(OSError):
            os.close(descriptor)


def test_the_live_view_is_for_terminals(terminal):
    pytest.importorskip("rich")
    assert type(choose_view(as_json=False)).__name__ == "LiveView"


def test_without_rich_a_terminal_gets_plain_lines_and_is_told_how_to_get_more(terminal, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with choose_view(as_json=False) as plain:
        assert isinstance(plain, PlainView)
    assert "braidmq[tui]" in terminal.shown()


def test_a_terminal_that_cannot_draw_gets_plain_lines(terminal, monkeypatch):
    monkeypatch.setattr(Terminal, "encoding", "ascii")
    assert isinstance(choose_view(as_json=False), PlainView)


def test_stdout_is_kept_for_json(terminal, capfd):
    with choose_view(as_json=True) as plain:
        assert isinstance(plain, PlainView)
        plain._write("progress")
    assert terminal.shown() == ""
    assert capfd.readouterr().err == "progress\n"


def test_plain_lines_say_once_what_is_started():
    lines = []
    plain = PlainView(lines.append, lambda: None)
    board = Board(Plan(), ["b1"])
    for now in (1.0, 2.5, 4.0):
        plain.show(board, now)
    assert [line.strip() for line in lines] == ["starting 3 brokers, 4 workers, 2 clients"]
    board.started_at = 5.0
    plain.show(board, 5.0)
    plain.show(board, 5.1)
    assert len(lines) == 2
