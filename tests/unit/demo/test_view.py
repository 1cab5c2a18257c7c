import io
from types import SimpleNamespace

import pytest

from braidmq.demo import view
from braidmq.demo.view import PlainView, choose_view


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Let the module see a terminal; not by the real `sys`, whose stdout pytest replaces when the test begins."""
    terminal = Terminal()
    monkeypatch.setattr(view, "sys", SimpleNamespace(stdout=terminal, stderr=io.StringIO()))
    return terminal


def test_the_live_view_is_for_terminals(terminal):
    pytest.importorskip("rich")
    assert type(choose_view(as_json=False)).__name__ == "LiveView"


def test_without_rich_a_terminal_gets_plain_lines(terminal, monkeypatch):
    monkeypatch.setattr(view.importlib.util, "find_spec", lambda _name: None)
    assert isinstance(choose_view(as_json=False), PlainView)


def test_a_terminal_that_cannot_draw_gets_plain_lines(terminal, monkeypatch):
    monkeypatch.setattr(Terminal, "encoding", "ascii")
    assert isinstance(choose_view(as_json=False), PlainView)


def test_stdout_is_kept_for_json(terminal):
    choose_view(as_json=True)._write("progress")
    assert terminal.getvalue() == ""
