"""``top``: a live view of the net in the terminal."""

import asyncio
import contextlib
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from braidmq.bounds import COMMAND_BROKERS_MAX
from braidmq.cli import join_option
from braidmq.cli.exit_codes import ExitCode
from braidmq.cli.logs import log_nothing
from braidmq.cli.top.keys import Keys
from braidmq.cli.top.pages import Net
from braidmq.cli.top.state import Screen
from braidmq.cli.top.terminal import Terminal, default_action
from braidmq.host.loop_signals import LoopSignals
from braidmq.monitor.looking import Look, looks
from braidmq.node import Node
from braidmq.settings import Settings
from braidmq.trust.joinfile import JoinFile

ESCAPE_S: Final = 0.05
"""How long after an escape the rest of a key may come: terminals send it at once, also over slow lines."""

_INSTEAD: Final = "`braidmq status --watch` needs neither"


@click.command("top")
@join_option()
def top(join: JoinFile | Path) -> int:
    """Show the net live: whether it is well, what is wrong, its services by load, brokers, callers and workers.

    It needs a terminal, the extra `tui`, and a join file with the right to observe: `braidmq add node NAME --net DIR
    --observe`. Press ? for the keys, q to quit.
    """
    _check_terminal()
    log_nothing()
    node = Node(join, settings=Settings(brokers_connected_max=COMMAND_BROKERS_MAX))
    with Terminal(sys.stdin.fileno(), sys.stdout.fileno()) as terminal:
        asyncio.run(_Top(node, terminal).run())
    return ExitCode.OK


def _check_terminal() -> None:
    """Raise click.ClickException if there is no terminal to show anything on, or nothing that draws."""
    ctx = click.get_current_context()
    if importlib.util.find_spec("rich") is None:
        raise click.UsageError(f"top draws with rich: pip install 'braidmq[tui]'; {_INSTEAD}", ctx)
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stdout.isatty():
        raise click.UsageError(f"top needs a terminal at stdin and stdout; {_INSTEAD}", ctx)
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        raise click.UsageError(f"top needs a terminal whose cursor can be moved, which $TERM denies; {_INSTEAD}", ctx)


class _Top:
    """What is seen, what is shown of it, and the keyboard."""

    def __init__(self, node: Node, terminal: Terminal) -> None:
        from rich.console import Console  # noqa: PLC0415 - rich is an extra

        self._node = node
        self._terminal = terminal
        self._keys = Keys()
        self._screen = Screen()
        self._net = Net.of(Look((), ()))
        self._at = ""
        self._console: Console = Console(file=sys.stdout, force_terminal=True, highlight=False)
        self._leaving = asyncio.Event()
        self._flush: asyncio.TimerHandle | None = None
        self._error: Exception | None = None

    async def run(self) -> None:
        """Show the net until somebody quits.

        Raises:
            BraidError: no broker has ever told its state, for a reason that does not pass by itself.
            OSError: the terminal is gone.
        """
        loop = asyncio.get_running_loop()
        with LoopSignals(self._leaving, on_first=lambda: None, before_the_end=self._give_back):
            loop.add_signal_handler(signal.SIGWINCH, self._do, self._draw)
            loop.add_signal_handler(signal.SIGTSTP, self._do, self._stop)
            loop.add_signal_handler(signal.SIGCONT, self._do, self._go_on)
            loop.add_reader(sys.stdin.fileno(), self._do, self._on_input)
            try:
                self._draw()
                async with self._node:
                    await self._watch()
            finally:
                loop.remove_reader(sys.stdin.fileno())
                for number in (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT):
                    loop.remove_signal_handler(number)

    async def _watch(self) -> None:
        """Look at the net again and again until somebody quits."""
        watching = asyncio.create_task(self._look())
        leaving = asyncio.create_task(self._leaving.wait())
        await asyncio.wait((watching, leaving), return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        if self._error is not None:
            raise self._error

    def _do(self, act: Callable[[], None]) -> None:
        """Do what the event loop has called for; an error ends all, as it would elsewhere."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - it is raised where the terminal has been given back
            self._error = error
            self._leaving.set()

    async def _look(self) -> None:
        async with contextlib.aclosing(looks(self._node)) as seen:
            async for look in seen:
                self._net = Net.of(look)
                self._at = time.strftime("%H:%M:%S")
                self._draw()

    def _draw(self) -> None:
        from braidmq.cli.top.picture import frame  # noqa: PLC0415 - rich is an extra

        self._console.size = self._terminal.size
        self._terminal.draw(frame(self._console, self._screen, self._net, self._at), self._console.encoding)

    def _on_input(self) -> None:
        data = self._terminal.read()
        if data is None:
            self._leaving.set()
            return
        if self._flush is not None:
            self._flush.cancel()
        self._on_keys(self._keys.feed(data))
        if self._keys.pending:
            self._flush = asyncio.get_running_loop().call_later(ESCAPE_S, self._do, self._on_silence)

    def _on_silence(self) -> None:
        self._on_keys(self._keys.flush())

    def _on_keys(self, keys: Sequence[str]) -> None:
        from braidmq.cli.top.picture import rows_shown  # noqa: PLC0415 - rich is an extra

        for key in keys:
            self._screen.on_key(key, self._net, rows_shown(self._net, *self._terminal.size))
        if self._screen.leaving:
            self._leaving.set()
        elif keys:
            self._draw()

    async def _give_back(self) -> None:
        self._terminal.give_back()

    def _stop(self) -> None:
        """Stop, as ^Z asks: the shell gets its terminal back meanwhile."""
        self._terminal.give_back()
        with default_action(signal.SIGTSTP):
            signal.raise_signal(signal.SIGTSTP)  # it returns when this process is continued

    def _go_on(self) -> None:
        self._terminal.take()
        self._draw()
