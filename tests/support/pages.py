"""A page of the documents as its reader goes through it: writes its files, runs its commands, sees what it shows."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic

from braidmq.lab.processes.child import environment
from braidmq.lab.processes.ports import free_ports
from braidmq.lab.processes.waiting import wait_until

_BLOCK = re.compile(
    r"(?:^(?:[^\n]* )?`(?P<file>[\w.]+\.py)`:\n\n)?(?:^<!-- (?P<mark>[a-z ]+) -->\n)?"
    r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

UNTIL = "until it says so"
"""What stands before a command that is run again until it shows what the page shows below it."""

NOT_RUN = "not run"
"""What stands before a command that needs a reader."""

PORTS = ("5551", "5552", "5553")
"""The ports of the pages."""

COMMANDS_S_MAX = 100
"""How long the commands of one block may take: up to six of them, each a process that starts."""

ELSEWHERE = ("make ", "pip ")
"""How commands begin that are for a checkout, where the tests have been through them."""


class Reader:
    """Somebody who goes through a page at a shell, in an empty directory. Use it as a context manager.

    Attributes:
        shown: what the page has shown, and was seen: one text for each of its blocks.
    """

    def __init__(self, directory):
        self._directory = directory
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=directory,
            env=environment(PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._blocks = 0
        self._said = ""
        self.shown = []

    def go_through(self, text):
        """Do all that a page says, and see all that it shows."""
        command = None
        for block in _BLOCK.finditer(text):
            if block["file"]:
                (self._directory / block["file"]).write_text(self._here(block["text"]))
            elif block["kind"] == "text":
                self._see(command, block["text"])
            elif not block["kind"] and block["mark"] != NOT_RUN and not block["text"].startswith(ELSEWHERE):
                command = (self._here(block["text"]), block["mark"])
                if block["mark"] != UNTIL:
                    self._said = self._run(command[0])

    def _see(self, command, expected):
        script, mark = command
        give_up_at = monotonic() + COMMANDS_S_MAX
        while mark == UNTIL and monotonic() < give_up_at:
            self._said = self._run(script)
            if is_shown(expected, self._said):
                break
        assert is_shown(expected, self._said), f"the page shows:\n{expected}\nits reader sees:\n{self._said}"
        self.shown.append(expected)

    def _here(self, text):
        """Put ports of this machine in place of those of the page."""
        counted = " + ".join(f"(i == {number}) * {port}" for number, port in enumerate(self._ports.values(), 1))
        text = text.replace("127.0.0.1:555$i", f"127.0.0.1:$(({counted}))")
        return re.sub(r"(?<=127\.0\.0\.1:)555\d", lambda found: str(self._ports[found[0]]), text)

    def _run(self, script):
        """Run commands in the shell, and return what was written until they had ended; jobs go on."""
        self._blocks += 1
        told, ended = self._directory / f".{self._blocks}.out", self._directory / f".{self._blocks}.end"
        self._shell.stdin.write(f"{{ {script.rstrip()}\n}} > {told} 2>&1 < /dev/null\n: > {ended}\n".encode())
        self._shell.stdin.flush()
        wait_until(ended.exists, f"{script} has ended", COMMANDS_S_MAX)
        return told.read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in [*children(self._shell.pid), self._shell.pid]:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pid, signal.SIGKILL)
        with self._shell:  # closes its stdin, and waits
            pass


def children(pid):
    """The processes that a process has started, and theirs."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        for child in (task / "children").read_text().split():
            yield from children(int(child))
            yield int(child)


def is_shown(expected, said):
    """Whether each line that a page shows is one of what was said, in their order; `...` may be anything."""
    seen = iter([_flat(line) for line in said.splitlines()])
    return all(any(re.search(_pattern(line), each) for each in seen) for line in expected.splitlines())


def _flat(line):
    return " ".join(line.split())


def _pattern(line):
    return ".*".join(re.escape(part.strip()) for part in _flat(line).split("..."))
