"""`braidmq top` at a real terminal, with real brokers."""

import importlib.util
import shlex
import signal
import sys
import termios

import pytest

from braidmq.cli import run
from tests.support.nights import cases
from tests.support.processes import BRAIDMQ, complaint, wait_until
from tests.support.terminals import ENTER_SCREEN, LEAVE_SCREEN, TerminalRun

NAMES = ("b1", "b2", "b3")


@pytest.fixture
def three(live):
    """Three brokers and a worker, all well."""
    live.add_members(*NAMES)
    live.children = {name: live.broker(name) for name in NAMES}
    live.serve("--service", "echo", "--exec", "cat", "--concurrency", "2")
    live.wait_for_workers("echo")
    live.wait_for_agreement(*NAMES)
    return live


@pytest.fixture
def one(live):
    """A broker."""
    live.add_members("b1")
    live.broker("b1")
    return live


def top(net, *, name="observer", **more):
    return TerminalRun([*BRAIDMQ, "top", "--join", net.join(name)], **more)


def first_line(terminal, text):
    return terminal.wait_for(lambda lines: text in lines[0], f"the first line says {text!r}")


def left(terminal):
    """Whether the screen that was there before is shown again."""
    return terminal.written.rfind(LEAVE_SCREEN) > terminal.written.rfind(ENTER_SCREEN)


def given_back(terminal):
    """Whether the terminal is as it was."""
    return left(terminal) and terminal.modes_now() == terminal.modes


@pytest.mark.nightly
def test_a_broker_that_is_killed_is_in_the_first_line_until_it_is_back(three):
    with top(three) as terminal:
        lines = first_line(terminal, "all is well: 3 brokers (b1, b2, b3)")
        assert any(line.startswith(">  echo ") for line in lines)
        three.children["b2"].end(signal.SIGKILL)
        lines = first_line(terminal, "something is wrong: b2 is dead")
        assert lines[1].startswith("! b2 is dead")
        assert "`braidmq broker --join b2.braid`" in " ".join(lines[1:4])
        three.broker("b2")
        first_line(terminal, "all is well: 3 brokers (b1, b2, b3)")
        terminal.type(b"q")
        assert terminal.end() == (0, b"")
        assert given_back(terminal)


def test_keys_open_brokers_services_and_callers_and_filter(three):
    with top(three) as terminal:
        first_line(terminal, "all is well")
        terminal.type(b"\r")
        terminal.wait_for(lambda lines: "Services > echo" in lines, "the service is opened")
        terminal.type(b"\x1b")
        terminal.wait_for(lambda lines: any("[1 Services]" in line for line in lines), "an escape alone leads back")
        terminal.type(b"2\x1b[B\r")
        lines = terminal.wait_for(lambda lines: "Brokers > b2" in lines, "the second broker is opened")
        assert any(line.startswith(f"b2 at {three.endpoints['b2']}: up, for ") for line in lines)
        terminal.type(b"\x7f3/obs\r")
        lines = terminal.wait_for(lambda lines: any("filter: obs" in line for line in lines), "the filter is set")
        assert [line.split()[1] for line in lines if line.startswith(">")] == ["observer"]
        terminal.type(b"?")
        terminal.wait_for(lambda lines: "Help" in lines, "the help is shown")


@cases(
    "end",
    [
        pytest.param(b"q", id="q"),
        pytest.param(signal.SIGTERM, id="SIGTERM"),
        pytest.param(b"\x03", id="^C"),
        pytest.param(signal.SIGINT, id="SIGINT", marks=pytest.mark.nightly),  # which ^C sends, too
    ],
    one_in=3,
)
def test_however_it_ends_the_terminal_is_given_back(one, end):
    with top(one) as terminal:
        first_line(terminal, "all is well")
        assert not terminal.modes_now()[3] & (termios.ECHO | termios.ICANON)
        if isinstance(end, bytes):
            terminal.type(end)
        else:
            terminal.process.send_signal(end)
        assert terminal.end() == (0, b"")
        assert given_back(terminal)


def test_an_error_is_told_where_the_terminal_was_given_back(one):
    with top(one, name="client") as terminal:
        code, error = terminal.end()
        assert code == 6
        assert error.startswith(b"braidmq: client may not observe the net")
        assert error.count(b"\n") == 1
        assert given_back(terminal)


BROKEN = """
import sys
from braidmq.cli import main
from braidmq.cli.top import picture
def broken(*_):
    raise RuntimeError("a bug")
def frame(console, screen, net, at, real=picture.frame):
    return broken() if screen.helping else real(console, screen, net, at)
picture.frame = frame
main()
"""


def test_a_bug_is_shown_as_it_is_where_the_terminal_was_given_back(one):
    with TerminalRun([sys.executable, "-c", BROKEN, "top", "--join", one.join("observer")]) as terminal:
        first_line(terminal, "all is well")
        terminal.type(b"?")
        code, error = terminal.end()
        assert code == 1
        assert b"RuntimeError: a bug" in error
        assert given_back(terminal)


@pytest.mark.nightly
def test_without_brokers_it_waits_for_them(live):
    live.add_members("b1")
    with top(live) as terminal:
        lines = first_line(terminal, "no broker tells its state")
        assert f"b1 at {live.endpoints['b1']}: nothing answers there" in lines[1]
        live.broker("b1")
        first_line(terminal, "all is well")


LOOKS_ONCE = """
import asyncio
from braidmq.cli import main
from braidmq.cli.top import command
async def looks(node, real=command.looks):
    async for look in real(node):
        yield look
        await asyncio.Event().wait()
command.looks = looks
main()
"""


@pytest.mark.nightly
def test_it_follows_the_size_of_the_window_at_once(one):
    with TerminalRun([sys.executable, "-c", LOOKS_ONCE, "top", "--join", one.join("observer")]) as terminal:
        first_line(terminal, "all is well")
        terminal.resize(50, 12)
        terminal.wait_for(lambda lines: lines[11].startswith("q quit"), "the last line is the twelfth")
        terminal.resize(120, 40)
        terminal.wait_for(lambda lines: lines[39].startswith("q quit"), "the last line is the fortieth")


@pytest.mark.nightly
def test_it_stops_and_goes_on_at_a_shell(one):
    shell = ["/bin/bash", "-c", "exec /bin/bash --norc --noprofile -i 2>&0"]  # it prompts at stderr
    with TerminalRun(shell) as terminal:
        terminal.wait_for(lambda lines: any(line.endswith(("#", "$")) for line in lines), "the shell is ready")
        shell_modes = terminal.modes_now()
        terminal.type(f"{shlex.join(map(str, [*BRAIDMQ, 'top', '--join', one.join('observer')]))}\n".encode())
        first_line(terminal, "all is well")
        terminal.type(b"\x1a")
        terminal.wait_for(lambda lines: any("Stopped" in line for line in lines), "the shell says that it has stopped")
        assert terminal.modes_now()[3] & termios.ECHO == shell_modes[3] & termios.ECHO
        assert left(terminal)
        terminal.type(b"fg\n")
        terminal.wait_for(
            lambda lines: "all is well" in lines[0] and lines[23].startswith("q quit"), "it is on the screen again"
        )
        terminal.type(b"q")
        wait_until(lambda: left(terminal), "the terminal is given back")
        terminal.type(b"echo code=$?\n")
        terminal.wait_for(lambda lines: "code=0" in lines, "it has ended")


@pytest.mark.nightly
def test_a_window_that_is_closed_ends_it(one):
    with top(one) as terminal:
        first_line(terminal, "all is well")
        terminal.close_terminal()
        assert terminal.end()[0] in (0, 1, -signal.SIGHUP)


@pytest.mark.nightly
def test_without_colours_it_writes_none(one):
    with top(one, NO_COLOR="1") as terminal:
        first_line(terminal, "all is well")
        terminal.type(b"q")
        terminal.end()
        assert not any(f"\x1b[{how}m".encode() in terminal.written for how in ("1;32", "32", "31", "1;31"))
    with top(one) as terminal:
        first_line(terminal, "all is well")
        assert b"\x1b[1;32m" in terminal.written


def test_where_there_is_no_terminal_it_says_so(one):
    assert "top needs a terminal at stdin and stdout" in complaint(one.run("top", "--join", one.join("observer")), 2)
    with top(one, TERM="dumb") as terminal:
        code, error = terminal.end()
        assert code == 2
        assert b"whose cursor can be moved" in error


def test_without_the_extra_it_says_what_to_install(monkeypatch, capfd):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert run(["top", "--join", "nothing"]) == 2
    assert "pip install 'braidmq[tui]'" in capfd.readouterr().err
