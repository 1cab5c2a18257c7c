import os
import pty
import termios

import pytest

from braidmq.cli.top.terminal import Terminal


@pytest.fixture
def both():
    """A terminal: the end of the program, and that of whoever looks at it."""
    mine, theirs = pty.openpty()
    yield theirs, mine
    for each in (theirs, mine):
        os.close(each)


def read_until(person, end):
    """What the person sees, until it ends so."""
    shown = b""
    while not shown.endswith(end):
        shown += os.read(person, 1_024)
    return shown


def test_keys_come_one_by_one_and_unseen_and_the_terminal_is_given_back(both):
    program, person = both
    before = termios.tcgetattr(program)
    with Terminal(program, program) as terminal:
        during = termios.tcgetattr(program)
        assert not during[3] & (termios.ICANON | termios.ECHO)
        assert during[3] & termios.ISIG
        assert during[6][termios.VQUIT] == b"\x00"
        os.write(person, b"q")
        assert terminal.read() == b"q"
    assert termios.tcgetattr(program) == before
    read_until(person, b"\x1b[?25h\x1b[?1049l")


def test_it_is_given_back_after_an_error_too_and_only_once(both):
    program, person = both
    before = termios.tcgetattr(program)
    terminal = Terminal(program, program)

    def fail():
        with terminal:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    terminal.give_back()
    assert termios.tcgetattr(program) == before
    os.write(program, b"end")
    assert read_until(person, b"end").count(b"\x1b[?1049l") == 1


def test_a_screen_is_drawn_line_by_line_and_what_the_terminal_cannot_show_is_a_question_mark(both):
    program, person = both
    with Terminal(program, program) as terminal:
        read_until(person, b"\x1b[2J")
        terminal.draw(["one", "tw\u00f6"], "ascii")
        assert read_until(person, b"\x1b[J") == b"\x1b[Hone\x1b[K\r\ntw?\x1b[K\x1b[J".replace(b"\r\n", b"\r\r\n")


def test_who_has_taken_its_terminal_away_is_found_out():
    person, program = pty.openpty()
    terminal = Terminal(program, program)
    os.close(person)
    assert terminal.read() is None
    os.close(program)
