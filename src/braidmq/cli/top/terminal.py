"""The terminal of `braidmq top`: taken over, drawn on, read, and given back as it was, whatever happens."""

import contextlib
import errno
import os
import signal
import termios
from collections.abc import Iterator, Sequence
from typing import Final, Self

from braidmq.host.writer import Writer

READ_BYTES: Final = 1_024
"""What is read of the keyboard at once: whoever pastes more is read again."""

_ENTER: Final = b"\x1b[?1049h\x1b[?25l\x1b[2J"
"""A screen of its own, without a cursor (xterm's private modes 1049 and 25)."""

_LEAVE: Final = b"\x1b[0m\x1b[?25h\x1b[?1049l"

_HOME: Final = "\x1b[H"
_END_OF_LINE: Final = "\x1b[K"
_LOCAL_FLAGS: Final = 3
_CHARACTERS: Final = 6


class Terminal:
    """A terminal, by the descriptors of its keyboard and its screen. Use it as a context manager.

    Keys come one by one and unseen. ^C and ^Z are signals, as elsewhere; the key of SIGQUIT is none, as nobody could
    give the terminal back after it. Nothing here blocks: a screen that is not drawn in time is left out.
    """

    def __init__(self, keyboard: int, screen: int) -> None:
        self._keyboard = keyboard
        self._screen = screen
        self._writer = Writer(screen, bytes_max=0)
        self._modes = termios.tcgetattr(keyboard)
        self._taken = False

    @property
    def size(self) -> tuple[int, int]:
        """Its columns and lines."""
        return os.get_terminal_size(self._screen)

    def take(self) -> None:
        """Take it over; also if somebody else has changed it meanwhile, as a shell does."""
        modes = [*self._modes]
        modes[_LOCAL_FLAGS] &= ~(termios.ICANON | termios.ECHO)
        modes[_CHARACTERS] = [*self._modes[_CHARACTERS]]
        modes[_CHARACTERS][termios.VQUIT] = bytes([os.fpathconf(self._keyboard, "PC_VDISABLE")])
        termios.tcsetattr(self._keyboard, termios.TCSANOW, modes)
        self._taken = True
        self._write(_ENTER)

    def give_back(self) -> None:
        """Leave it as it was."""
        if not self._taken:
            return
        self._taken = False
        self._write(_LEAVE)
        self._writer.flush()
        with contextlib.suppress(termios.error):  # it is gone
            termios.tcsetattr(self._keyboard, termios.TCSANOW, self._modes)

    def _write(self, piece: bytes) -> None:
        """Write what must not be left out, if the terminal takes anything within a short time."""
        self._writer.flush()
        self._writer.write(piece)

    def draw(self, lines: Sequence[str], encoding: str) -> None:
        """Show a screen. It is left out if the one before is not drawn yet.

        Raises:
            OSError: the terminal is gone.
        """
        if self._writer.error is not None:
            raise self._writer.error
        text = _HOME + f"{_END_OF_LINE}\r\n".join(lines) + f"{_END_OF_LINE}\x1b[J"
        self._writer.write(text.encode(encoding, "replace"))

    def read(self) -> bytes | None:
        """Return what was typed; None if the terminal is gone."""
        try:
            return os.read(self._keyboard, READ_BYTES) or None
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno == errno.EIO:
                return None
            raise

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()


@contextlib.contextmanager
def default_action(number: signal.Signals) -> Iterator[None]:
    """Let a signal do meanwhile what it does where nobody handles it."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)
