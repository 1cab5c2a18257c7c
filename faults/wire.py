"""A network that loses, delays, reorders and cuts: a namespace for each broker and one for the nodes, and a wire.

Each namespace has a TUN device, and one process (`python -m faults.wire`) carries packets of 1,500 bytes between them
as its rules say. So the TCP of the kernel meets real loss, delay and reordering, on machines without netem as well;
nothing outside the namespaces is touched, and they are gone with the process that made them. It needs Linux, root
(CAP_SYS_ADMIN) and /dev/net/tun.
"""

import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from time import monotonic
from types import TracebackType
from typing import Final, Self

import msgspec

NODES: Final = "nodes"
"""The namespace of all nodes, and of whoever made the wire."""

_TUN: Final = Path("/dev/net/tun")
_OWN: Final = "/proc/thread-self/ns/net"
_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI: Final = 0x1001
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8916, 0x891C, 0x8913, 0x8914
_IFF_UP: Final = 1
_IPV4: Final = 4
_PACKET_BYTES_MAX: Final = 65_536
_DELAYED_MAX: Final = 100_000
"""Packets on the wire at once; more are lost."""


class Rule(msgspec.Struct):
    """What happens to packets from one namespace to another; an empty name stands for any.

    Attributes:
        loss: the share that is lost, from 0 to 1.
        delay_s: how long each travels, on average.
        jitter_s: by how much more or less: each packet by itself, so that they overtake each other.
        packet_bytes_max: longer packets are lost without a word, as on a path whose MTU nobody tells; 0 for none.
    """

    source: str = ""
    target: str = ""
    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    packet_bytes_max: int = 0


class Wire:
    """The namespaces and the process between them. Use it as a context manager: inside, this thread is a node.

    Args:
        brokers: the names of the namespaces besides NODES.
    """

    def __init__(self, brokers: Iterable[str]) -> None:
        self._names = [NODES, *brokers]
        self._spaces: dict[str, int] = {}
        self._home = os.open(_OWN, os.O_RDONLY)
        devices = []
        try:
            for name in self._names:
                _call("unshare", _CLONE_NEWNET)
                self._spaces[name] = os.open(_OWN, os.O_RDONLY)
                devices.append(_new_device(self.address(name)))
        finally:
            _call("setns", self._home, _CLONE_NEWNET)
        self._carrier = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "faults.wire",
                *(f"{name}={fd}" for name, fd in zip(self._names, devices, strict=True)),
            ],
            cwd=Path(__file__).parent.parent,
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=devices,
        )
        for device in devices:
            os.close(device)
        self.rule()

    def __enter__(self) -> Self:
        _call("setns", self._spaces[NODES], _CLONE_NEWNET)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _call("setns", self._home, _CLONE_NEWNET)
        self._carrier.kill()
        self._carrier.communicate()
        for space in (*self._spaces.values(), self._home):
            os.close(space)

    def address(self, name: str) -> str:
        """Return the address of a namespace."""
        return f"10.213.0.{self._names.index(name) + 1}"

    def inside(self, name: str) -> list[str]:
        """Return what to put before a command that is to run in a namespace."""
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self._spaces[name]}"]

    def rule(self, *rules: Rule) -> None:
        """Let these rules hold from now on, and no others. Of those that fit, the first counts."""
        assert self._carrier.stdin is not None
        assert self._carrier.stdout is not None
        self._carrier.stdin.write(msgspec.json.encode(rules) + b"\n")
        self._carrier.stdin.flush()
        assert self._carrier.stdout.readline(), "the wire has ended"


def missing() -> str:
    """Return why there can be no wire here; empty if there can."""
    if sys.platform != "linux" or not _TUN.exists():
        return f"there is no {_TUN} here"
    try:
        with Wire(()):
            return ""
    except OSError as error:
        return f"network namespaces need root ({error.strerror})"


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _new_device(address: str) -> int:
    """Make a TUN device in this thread's namespace; return its descriptor. The loopback device comes up as well."""
    device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"wire", _IFF_TUN_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.0")):
            fcntl.ioctl(
                control, request, struct.pack("16sHH4s16x", b"wire", socket.AF_INET, 0, socket.inet_aton(value))
            )
        for name in (b"lo", b"wire"):
            flags = struct.unpack("16sH", fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH14x", name, 0))[:18])[1]
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", name, flags | _IFF_UP))
    return device


class Carrier:
    """Carries packets between devices.

    Args:
        devices: the descriptor of each namespace's device, in the order of their addresses.
    """

    def __init__(self, devices: dict[str, int]) -> None:
        self._devices = devices
        self._fates: dict[tuple[int, int], Rule | None] = {}
        self._targets = dict(enumerate(devices.values(), 1))
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._numbers = itertools.count()
        self._rng = random.Random()

    def rule(self, rules: Iterable[Rule]) -> None:
        """Let these rules hold, and no others."""
        rules = list(rules)
        self._fates = {
            (source_fd, target_fd): next(
                (each for each in rules if each.source in ("", source) and each.target in ("", target)), None
            )
            for source, source_fd in self._devices.items()
            for target, target_fd in self._devices.items()
        }

    def run(self) -> None:
        """Carry until stdin ends."""
        poller = select.epoll()
        for device in (*self._devices.values(), sys.stdin.fileno()):
            poller.register(device, select.EPOLLIN)
        while True:
            wait_s = max(0.0, self._under_way[0][0] - monotonic()) if self._under_way else -1
            for ready, _ in poller.poll(wait_s):
                if ready != sys.stdin.fileno():
                    self._take(ready)
                elif line := sys.stdin.buffer.readline():
                    self.rule(msgspec.json.decode(line, type=list[Rule]))
                    print("ok", flush=True)
                else:
                    return
            self._deliver()

    def _take(self, device: int) -> None:
        """Take what a namespace sends, a bounded number of packets at a time."""
        with suppress(BlockingIOError):
            for _ in range(64):
                packet = os.read(device, _PACKET_BYTES_MAX)
                target = self._targets.get(packet[19])
                if packet[0] >> 4 != _IPV4 or target is None:
                    continue
                rule = self._fates[device, target]
                if rule is None:
                    _put(target, packet)
                elif self._rng.random() >= rule.loss and not 0 < rule.packet_bytes_max < len(packet):
                    self._hold(rule, target, packet)

    def _hold(self, rule: Rule, target: int, packet: bytes) -> None:
        travels_s = rule.delay_s + self._rng.uniform(-rule.jitter_s, rule.jitter_s)
        if travels_s <= 0.0:
            _put(target, packet)
        elif len(self._under_way) < _DELAYED_MAX:
            heapq.heappush(self._under_way, (monotonic() + travels_s, next(self._numbers), target, packet))

    def _deliver(self) -> None:
        now = monotonic()
        while self._under_way and self._under_way[0][0] <= now:
            _, _, target, packet = heapq.heappop(self._under_way)
            _put(target, packet)


def _put(device: int, packet: bytes) -> None:
    with suppress(OSError):  # its queue is full: the packet is lost, as on any network
        os.write(device, packet)


if __name__ == "__main__":
    Carrier({name: int(fd) for name, _, fd in (each.partition("=") for each in sys.argv[1:])}).run()
