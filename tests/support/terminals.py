"""A command at a terminal of its own, and what a person would see there: pyte is the terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading

import pyte

from braidmq.lab.processes.child import environment
from braidmq.lab.processes.waiting import WAIT_S_MAX, wait_until

ENTER_SCREEN = b"\x1b[?1049h"
LEAVE_SCREEN = b"\x1b[?1049l"

LEADER = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes its terminal that of a new session, so that keys such as ^C become signals there."""


class TerminalRun:
    """A command, which a terminal is all of. Use it as a context manager.

    Attributes:
        process: the command.
        written: every byte that it has written to the terminal.
    """

    def __init__(self, command, *, columns=80, lines=24, **changes):
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.written = b""
        self._master, self._slave = pty.openpty()
        self._set_size(columns, lines)
        self.modes = self.modes_now()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LEADER, *map(str, command)],
            stdin=self._slave,
            stdout=self._slave,
            stderr=subprocess.PIPE,
            env=environment(**{"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **changes}),
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def modes_now(self):
        """How the terminal is set."""
        return termios.tcgetattr(self._slave)

    @property
    def shown(self):
        """The lines of the screen, without blanks at their ends."""
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    def wait_for(self, told, what):
        """Wait until `told` holds for the lines of the screen, and return them."""

        def found():
            lines = self.shown
            return lines if told(lines) else None

        try:
            return wait_until(found, what)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.shown])) from None

    def type(self, data):
        """Press keys."""
        os.write(self._master, data)

    def resize(self, columns, lines):
        """Make the window another one; the command gets SIGWINCH."""
        with self._lock:
            self._screen.resize(lines, columns)
        self._set_size(columns, lines)

    def end(self):
        """Wait until the command has ended; return its exit code and what it wrote to stderr."""
        error = self.process.stderr.read()
        code = self.process.wait(WAIT_S_MAX)
        return code, error

    def close_terminal(self):
        """Take the terminal away, as a window that is closed does."""
        os.close(self._slave)
        self._slave = -1
        self._hang_up()

    def _hang_up(self):
        master, self._master = self._master, -1
        os.close(master)

    def _set_size(self, columns, lines):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self):
        while True:
            try:
                data = os.read(self._master, 65_536)
            except OSError:  # nobody has the terminal any more
                return
            with self._lock:
                self.written += data
                self._stream.feed(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        if self._slave >= 0:
            os.close(self._slave)
        self._reader.join()
        if self._master >= 0:
            os.close(self._master)
