"""The socket of a service manager, as systemd has one for each unit, and what was said there."""

import select
import socket
import time
from pathlib import Path

from braidmq.lab.processes.waiting import WAIT_S_MAX


class ServiceManager:
    """Listens at a Unix datagram socket: at a path, or at a name that is in no directory if it begins with @."""

    def __init__(self, address):
        self.address = str(address)
        self.said = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.address[1:] if self.address.startswith("@") else self.address)
        self._socket.setblocking(False)

    def environment(self, watchdog_s=None, pid=""):
        told = {"NOTIFY_SOCKET": self.address}
        if watchdog_s is not None:
            told["WATCHDOG_USEC"] = str(int(watchdog_s * 1_000_000))
        return told | ({"WATCHDOG_PID": str(pid)} if pid else {})

    def take(self):
        """Return what has come since this was asked last, as words like READY=1."""
        come = []
        while True:
            try:
                come += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                self.said += come
                return come

    def hear(self, word, timeout=WAIT_S_MAX):
        """Wait until something that begins with `word` comes; return it."""
        found = self.listen(word, timeout)
        assert found is not None, f"{word} was not said, only {self.said}"
        return found

    def listen(self, word, timeout):
        """Return what begins with `word` as soon as it comes; None if it does not in this time."""
        give_up_at = time.monotonic() + timeout
        while (left_s := give_up_at - time.monotonic()) > 0.0:
            select.select([self._socket], [], [], left_s)
            for each in self.take():
                if each.startswith(word):
                    return each
        return None

    def fill(self):
        """Let nothing more fit in."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            while True:
                try:
                    other.sendto(b"x", self._socket.getsockname())
                except BlockingIOError:
                    return

    def close(self):
        self._socket.close()
        if self.address.startswith("/"):
            Path(self.address).unlink()
