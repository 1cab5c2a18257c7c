"""Commands for tests: `python -m braidmq ...`, run to their end or watched, in a net of real processes.

`LiveNet` is that of the fault matrix, which starts brokers and workers that stay; here it also runs commands to their
end (`run`, `call`). `Lifeline` tells whether a process that nobody may signal or wait for, such as a worker's command,
is still there. The fixture `live` of tests/integration/conftest.py is a `LiveNet` that is closed after the test.
"""

import json
import os
import select
import subprocess
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

from braidmq.lab.processes.child import BRAIDMQ, environment
from braidmq.lab.processes.waiting import WAIT_S_MAX, wait_until
from faults import live_net

__all__ = [
    "BRAIDMQ",
    "WAIT_S_MAX",
    "Lifeline",
    "LiveNet",
    "complaint",
    "environment",
    "loaded",
    "wait_until",
]


class LiveNet(live_net.LiveNet):
    """A net that also runs commands to their end."""

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

    @contextmanager
    def call_under_way(self, lifeline, directory):
        """Let a call be under way at a worker meanwhile; at the end its handler goes on, and it must be answered."""
        go = Path(directory) / "go"
        os.mkfifo(go)
        self.serve("--service", "slow", "--exec", f"sh -c '{lifeline.command}; read line < {go}; echo $line'")
        self.wait_for_workers("slow")
        with self.calling("slow") as call:
            lifeline.wait_for_start()
            yield
            go.write_text("gone\n")
            assert call.communicate(timeout=60) == (b"gone\n", b"")


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
