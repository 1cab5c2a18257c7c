"""Real processes for tests: `python -m braidmq ...` on loopback, in a net of their own.

`LiveNet` makes the net in a directory, adds members, runs commands to their end (`run`), starts brokers and workers
that stay (`broker`, `serve`), and waits until a service can be called (`wait_for_workers`). Add the members before
the brokers start: a running broker looks for new ones only once a second. `close` ends every process by its pid.

`Child` is one process that stays: its stderr is read all the time, and `wait_for_line` waits for a line of it.
`Lifeline` tells whether a process that nobody may signal or wait for, such as a worker's command, is still there.
The fixture `live` of tests/integration/conftest.py is a `LiveNet` that is closed after the test.
"""

import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from time import monotonic, sleep

from braidmq.blocking import Node
from braidmq.trust.authority import Authority
from braidmq.wire.control import ServiceStatus

BRAIDMQ = [sys.executable, "-m", "braidmq"]

WAIT_S_MAX = 30.0
"""How long a condition may take to come true before a test fails: far more than any of them takes."""

POLL_S = 0.01

_PORTS = (20_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections, so that none of these takes a free one away."""


def environment(**changes):
    """Return this process's environment without BraidMQ's own variables, with `changes`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("BRAIDMQ_")}
    return {**own, **changes}


def free_port():
    """Return a port of 127.0.0.1 on which nobody listens."""
    while True:
        port = random.randrange(*_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition, what, timeout=WAIT_S_MAX):
    """Wait until `condition()` is true, and return its value; fail with `what` after `timeout` seconds."""
    give_up_at = monotonic() + timeout
    while not (value := condition()):
        assert monotonic() < give_up_at, f"not within {timeout:g} s: {what}"
        sleep(POLL_S)
    return value


class Child:
    """A process of `python -m braidmq` that runs until it is told to end."""

    def __init__(self, *arguments, cwd=None, env=None):
        self._process = subprocess.Popen(
            [*BRAIDMQ, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment(**env or {}),
            text=True,
        )
        self._lines = []
        self._news = threading.Condition()
        self._closed = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def pid(self):
        return self._process.pid

    @property
    def log(self):
        """What it has written to stderr so far."""
        with self._news:
            return "".join(self._lines)

    def wait_for_line(self, text, timeout=WAIT_S_MAX):
        """Wait for a line of stderr that holds `text`, and return the first one."""

        def found():
            return next((line for line in self._lines if text in line), None)

        with self._news:
            self._news.wait_for(lambda: found() or self._closed, timeout)
            line = found()
            assert line is not None, f"no line with {text!r} in:\n{''.join(self._lines)}"
            return line

    def send_signal(self, number):
        self._process.send_signal(number)

    def wait(self, timeout=WAIT_S_MAX):
        """Wait until it has ended and all of its stderr is in `log`; return its exit code, negative for a signal."""
        code = self._process.wait(timeout)
        self._reader.join(timeout)
        return code

    def end(self, number=signal.SIGTERM):
        """Send it a signal and return its exit code."""
        self.send_signal(number)
        return self.wait()

    def close(self):
        """End it, whatever it does, and release what it held."""
        self._process.kill()
        self._process.send_signal(signal.SIGCONT)
        self.wait()

    def _read(self):
        with self._process.stderr as stderr:
            for line in stderr:
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()


class LiveNet:
    """A net in `directory` and its processes. Use it as a context manager, or call `close`."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.authority = Authority.create(self.directory)
        self.endpoints = {}
        self._children = []
        self._observer = None

    def join(self, name):
        """Return the path of a member's join file."""
        return self.directory / f"{name}.braid"

    def add_broker(self, name, port=None):
        """Register a broker at a free port of 127.0.0.1, or at `port`, and return its endpoint."""
        self.endpoints[name] = f"tcp://127.0.0.1:{port or free_port()}"
        self.authority.add_broker(name, [self.endpoints[name]])
        return self.endpoints[name]

    def add_node(self, name, calls=(), serves=(), observe=False):
        """Register a node and return the path of its join file."""
        return self.authority.add_node(name, calls, serves, observe)

    def add_members(self, *brokers):
        """Register brokers, a client that may call everything, a worker and an observer."""
        for name in brokers:
            self.add_broker(name)
        self.add_node("client", calls=["*"])
        self.add_node("worker", serves=["*"])
        self.add_node("observer", observe=True)

    def start(self, *arguments, **options):
        """Start a process that stays; it is ended by `close` at the latest."""
        child = Child(*arguments, **options)
        self._children.append(child)
        return child

    def broker(self, name, *options, **more):
        """Start a broker and wait until it listens."""
        child = self.start("broker", "--join", self.join(name), *options, **more)
        child.wait_for_line(f"{name} listens at ")
        return child

    def serve(self, *arguments, name="worker", **more):
        """Start `braidmq serve` as the node `name`."""
        return self.start("serve", "--join", self.join(name), *arguments, **more)

    def run(self, *arguments, stdin=b"", **changes):
        """Run a command to its end; `changes` are of its environment. What it writes is kept as bytes."""
        return subprocess.run(
            [*BRAIDMQ, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            env=environment(**changes),
            timeout=60,
            check=False,
        )

    def call(self, *arguments, name="client", **more):
        """Run `braidmq call` as the node `name`."""
        return self.run("call", "--join", self.join(name), *arguments, **more)

    @contextmanager
    def calling(self, *arguments, name="client"):
        """Start `braidmq call` and yield the subprocess.Popen; it is killed at the end if it is still there."""
        command = [*BRAIDMQ, "call", "--join", str(self.join(name)), *map(str, arguments)]
        with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, env=environment()) as child:
            try:
                yield child
            finally:
                child.kill()

    def report(self, broker):
        """Return what a broker tells the node "observer"."""
        return wait_until(lambda: self._observe().get(broker), f"{broker} tells its state")

    def members(self, broker):
        """Return how a broker sees the net: the states of the brokers by name, without those it never met."""
        return {row.name: row.state for row in self.report(broker).brokers if row.state != "unknown"}

    def wait_for_agreement(self, *names, state="alive", timeout=WAIT_S_MAX):
        """Wait until each of `names` sees exactly these brokers, all in `state`; the dead do not count."""

        def agreed():
            views = [self.members(name) for name in names]
            return all({n: s for n, s in view.items() if s != "dead"} == dict.fromkeys(names, state) for view in views)

        wait_until(agreed, f"{', '.join(names)} agree that they are the net, all {state}", timeout)

    def service(self, broker, name):
        """Return what a broker tells of a service; zeros, if it does not know it."""
        known = {each.name: each for each in self.report(broker).services}
        return known.get(name) or ServiceStatus(name, 0, 0, 0, 0)

    def wait_for_workers(self, service, *brokers, workers=1):
        """Wait until each of `brokers` (all, if none is named) has so many workers with credit for `service`."""
        for broker in brokers or self.endpoints:

            def ready(broker=broker):
                found = self.service(broker, service)
                return found.workers == workers and found.credit >= workers

            wait_until(ready, f"{workers} workers for {service} at {broker}")

    def close(self):
        """End every process by its pid."""
        if self._observer is not None:
            self._observer.close()
        for child in self._children:
            child.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _observe(self):
        if self._observer is None:
            self._observer = Node(self.join("observer"))
            self._observer.start()
            self._observer.connected()
        return self._observer.observe()


class Lifeline:
    """Tells whether processes are there that this one may neither signal nor wait for.

    A shell that begins with `command` says that it has started and holds the lifeline, and so does what it starts.
    """

    def __init__(self, directory):
        self._path = Path(directory) / "lifeline"
        os.mkfifo(self._path)
        self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)

    @property
    def command(self):
        return f"exec 9> {self._path}; echo >&9"

    def wait_for_start(self):
        assert self._read() == b"\n"

    def wait_for_end(self):
        """Wait until no process holds it any more."""
        assert self._read() == b""

    def close(self):
        os.close(self._fd)

    def _read(self):
        readable, _, _ = select.select([self._fd], [], [], WAIT_S_MAX)
        assert readable, "the lifeline did not change"
        return os.read(self._fd, 1)


def complaint(result, code):
    """Check that a command failed with `code`, without output and with one line; return the line."""
    assert (result.returncode, result.stdout) == (code, b""), result
    line = result.stderr.decode()
    assert line.startswith("braidmq: "), line
    assert line.count("\n") == 1, line
    return line


def loaded(result):
    """Check that a command succeeded and was silent; return the JSON object that it printed."""
    assert (result.returncode, result.stderr) == (0, b""), result
    assert result.stdout.count(b"\n") == 1
    return json.loads(result.stdout)
