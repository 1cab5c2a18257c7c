"""Real zgossip nodes of Debian's libczmq, each in a process of its own: `apt-get install libczmq4`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from braidmq.lab.processes.waiting import wait_until

PROGRAM = Path(__file__).parents[2] / "examples" / "bridges" / "zgossip_node.py"
TRY = "import ctypes; ctypes.CDLL('libczmq.so.4')"


def need_czmq():
    """Skip a test, and say what would get the library, where it is not installed. It is not loaded in this process."""
    found = subprocess.run([sys.executable, "-c", TRY], capture_output=True, check=False)
    if found.returncode:
        pytest.skip("there is no libczmq: 'apt-get install libczmq4' brings it")


class CzmqNode:
    """A node.

    Args:
        live: the LiveNet that ends its process.

    Attributes:
        child: its process.
        known: the newest value of each key that it has told to its application.
    """

    def __init__(self, live):
        self.child = live.launch([sys.executable, PROGRAM], talks=True)
        self.known = {}

    def bind(self):
        """Let it listen at a free port; return the endpoint."""
        self._say("BIND", "tcp://127.0.0.1:*")
        return f"tcp://127.0.0.1:{self._ask('PORT')}"

    def connect(self, endpoint):
        self._say("CONNECT", endpoint)

    def publish(self, key, value):
        self._say("PUBLISH", key, value)

    def lives(self):
        """Whether its actor answers: a malformed message ends it for good."""
        return bool(self._ask("STATUS"))

    def wait_for(self, key, value=None):
        """Wait until it has told its application of a key, with this value if one is given."""
        wait_until(lambda: self.knows(key, value), f"a node hears of {key}")

    def knows(self, key, value=None):
        self.look()
        return key in self.known if value is None else self.known.get(key) == value

    def look(self):
        """Take in what it has told its application."""
        while True:
            try:
                words = json.loads(self.child.hear(0))
            except AssertionError:
                return
            self._take(words)

    def _take(self, words):
        if words[0] == "DELIVER":
            self.known[words[1]] = words[2]

    def _say(self, *words):
        self.child.tell(json.dumps(words))

    def _ask(self, what):
        self._say(what)
        while True:
            words = json.loads(self.child.hear())
            if words[0] == what:
                return words[1]
            self._take(words)
