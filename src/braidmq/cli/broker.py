"""``broker``: run a broker until SIGTERM or SIGINT."""

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Literal

import click

from braidmq.carrier.broker_loop import BrokerLoop
from braidmq.carrier.twins import TwinWatch
from braidmq.cli import SUPERVISED, join_option
from braidmq.cli.exit_codes import ExitCode
from braidmq.cli.loading import load_named, wrong_kind
from braidmq.cli.logs import Format, log_format_option, log_level_option, log_to_stderr
from braidmq.cli.settings_options import settings_options
from braidmq.errors import ConfigError
from braidmq.host.clock import monotonic
from braidmq.host.lifeline import Lifeline
from braidmq.host.loggers import own_logger
from braidmq.host.notify import Notifier
from braidmq.host.room import take_all_descriptors
from braidmq.host.signals import STOP_SIGNALS, end_by_signal, heed_signals_as_process_1
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.trust import brokerstate
from braidmq.trust.endpoint import check_bind
from braidmq.trust.joinfile import STDIN, JoinFile
from braidmq.trust.numbered import PROCESSES_MAX

_LOG = own_logger("braidmq.broker")

_IPV4_IN_IPV6 = re.compile(r"\[::ffff:([0-9.]+)\]", re.IGNORECASE)
"""How a socket for both families spells an IPv4 address."""


@click.command("broker")
@join_option()
@click.option(
    "--bind",
    "binds",
    metavar="tcp://HOST:PORT",
    multiple=True,
    help="Where to listen, if not at the endpoints of its certificate; HOST may be '*'. May be repeated. "
    "ipc:///PATH is a Unix socket.",
)
@click.option(
    "--no-local",
    is_flag=True,
    help="No Unix socket for members of this machine that run as the same user; they come over TCP.",
)
@click.option(
    "--state",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where it remembers the newest registry that it has seen, if not beside its join file, in NAME.state.",
)
@click.option(
    "--no-state", is_flag=True, help="Remember nothing: a restart of all brokers may bring an old registry back."
)
@click.option(
    "--processes",
    type=click.IntRange(1, PROCESSES_MAX),
    default=1,
    show_default=True,
    help="How many brokers to run, each in a process: that of --join, as in b1-1.braid, and those that follow it.",
)
@click.option(
    "--balance",
    type=click.Choice(["least-outstanding", "round-robin"]),
    default="least-outstanding",
    show_default=True,
    help="How to choose among the workers of a service.",
)
@click.option(
    "--observer",
    metavar="MODULE:NAME",
    help="A braidmq.BrokerObserver of your own, which is told what happens in the broker.",
)
@settings_options
@log_level_option
@log_format_option
@click.option(SUPERVISED, "supervised", is_flag=True, hidden=True, help="One of several: stdin is its lifeline.")
def broker(
    join: JoinFile | Path,
    *,
    binds: Sequence[str],
    no_local: bool,
    state: Path | None,
    no_state: bool,
    processes: int,
    balance: Literal["least-outstanding", "round-robin"],
    observer: str | None,
    preset: Literal["lan", "wan", "test"],
    assignments: Sequence[str],
    log_level: str,
    log_format: Format,
    supervised: bool,
) -> int:
    """Run a broker, or several.

    SIGTERM and SIGINT end it once what is under way has been answered; a second signal ends it at once.

    With --processes N, there is a process for each of N brokers that `braidmq add broker --processes N` has registered,
    and one more that looks after them: it starts one again that ends by itself, and ends all at a signal. Their ports
    count up from those of --bind, too.
    """
    bind = tuple(check_bind(endpoint) for endpoint in binds)
    settings = Settings.parse([f"balance={balance}", *assignments], preset)
    if state is not None and (no_state or processes > 1):
        raise click.UsageError("--state is for one broker, and not with --no-state", click.get_current_context())
    if processes > 1:
        if isinstance(join, JoinFile) or str(join) == STDIN:
            raise ConfigError(
                f"{processes} brokers have a join file each: put them into a directory, and name the first"
            )
        log_to_stderr(log_level, log_format=log_format)
        options = [f"--balance={balance}", f"--preset={preset}"]
        options += [f"--log-level={log_level}", f"--log-format={log_format}"]
        options += [f"--set={assignment}" for assignment in assignments]
        options += ["--no-local"] if no_local else []
        options += ["--no-state"] if no_state else []
        options += [] if observer is None else [f"--observer={observer}"]
        return _run_several(join, processes, bind, options)
    if not supervised:
        log_to_stderr(log_level, log_format=log_format)
    lifeline = Lifeline() if supervised else None
    manager = Notifier(lambda: loop.status, {} if supervised else None)

    def alive(now: float) -> None:
        manager.on_time(now)
        if lifeline is not None:
            lifeline.beat(now)

    told = None if observer is None else _load_observer(observer)
    if state is None and not no_state:
        state = brokerstate.beside(join)
    loop = BrokerLoop(join, settings, bind=bind, local=not no_local, observer=told, state=state, alive=alive)
    if supervised:
        log_to_stderr(log_level, loop.name, log_format)
    take_all_descriptors()
    heed_signals_as_process_1()
    loop.open()
    _stop_at_signals(loop, manager)
    if lifeline is not None:
        lifeline.hold(loop.stop, settings.drain_s)
        lifeline.ready()
    manager.ready(monotonic())
    for endpoint in loop.endpoints:
        _LOG.info("%s listens at %s", loop.name, _IPV4_IN_IPV6.sub(r"\1", endpoint))
    twins = TwinWatch(loop.identity, loop.settings, loop.process)
    try:
        loop.run()
    finally:
        twins.close()
    _LOG.info("%s has ended", loop.name)
    return ExitCode.OK


def _run_several(join: Path, count: int, bind: Sequence[str], options: Sequence[str]) -> int:
    """Run a process for each of several brokers; return an exit code."""
    from braidmq.cli.processes import broker_programs, run_all  # noqa: PLC0415 - asyncio, which no broker needs

    several = broker_programs(join, count, bind, (SUPERVISED, *options))
    heed_signals_as_process_1()
    return run_all(several)


def _load_observer(target: str) -> BrokerObserver:
    """Return the observer that MODULE:NAME names.

    Raises:
        ConfigError: there is no such module, or no observer of that name in it.
    """
    module, named = load_named(target, (BrokerObserver,), "app:observer")
    if not isinstance(named, BrokerObserver):
        raise wrong_kind(target, named, module, (BrokerObserver,), "no braidmq.BrokerObserver")
    return named


def _stop_at_signals(loop: BrokerLoop, manager: Notifier) -> None:
    """Let the first signal drain `loop`, of which `manager` hears, and give the next one its usual effect."""

    def end(number: int, _frame: FrameType | None) -> None:
        end_by_signal(number)

    def stop(_number: int, _frame: FrameType | None) -> None:
        # Process 1 of a container gets no signal without a handler; any other is best ended by the system itself.
        usual = end if os.getpid() == 1 else signal.SIG_DFL
        for number in STOP_SIGNALS:
            signal.signal(number, usual)
        loop.call(manager.stopping)  # in the thread of all that it is told
        loop.stop()

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
