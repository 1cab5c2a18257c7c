"""What foreign peers in great number cost a bridge, and what one of them costs the others: `python -m bench.strangers`.

`crowd`: 1,000 peers with 10 calls under way each. A row tells the memory of the bridge before they come, when all are
connected (not of HTTP), when all their calls are under way, and when all are answered.

`flood`: 999 such peers, each of which asks again as soon as it is answered, in turns without and with one beside them
that calls as fast as it can. It has a low priority: whoever floods has a machine of his own. It is killed after each
turn: what one that is only stopped has left in buffers would be served on beside the others. The last row tells what it
costs the others; what the bridge needs of a processor for each of their calls says so on a busy machine, too.

`restart`: the bridge is ended by kill -9 and started again at once; its peers ask as soon as it is gone, those of HTTP
as soon as they can connect again. A row tells after how long it listens, and after how long they are served.
"""

import argparse
import hashlib
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

import zmq

from bench.bridges import processor_s
from bench.foreign_peers import Crowd, FailedError, HttpPeer, MajordomoPeer, MalamutePeer, Peer
from braidmq.blocking import Node
from braidmq.lab.processes.child import Child
from braidmq.lab.processes.ports import free_ports
from faults.live_net import LiveNet

KINDS: Final = ("majordomo", "malamute", "http")

TIMEOUT_S: Final = 600
"""How long calls may take: all that wait for a gate are answered."""

PEERS_MAX: Final = 1_000
"""As many as a bridge hears, and as many callers as a gateway knows."""

DEFAULT_PEERS: Final = {"crowd": PEERS_MAX, "flood": PEERS_MAX - 1, "restart": 16}

SOCKETS_MAX: Final = 2 * PEERS_MAX

FLOOD_AT_ONCE: Final = 64
"""Calls that are made before answers are read."""

FLOODS: Final = "floods"
"""What the process that floods says when it begins."""

UNCOUNTED: Final = 0.5
"""Part of a measurement that goes ahead of it: until then calls are answered that began before."""

FLOOD_LANES: Final = 300
"""Connections of one that floods by HTTP: more than it may have calls."""

WORKER: Final = """
import asyncio
from braidmq import Services

services = Services()
gate = asyncio.Event()


@services.service("echo", concurrency=256)
async def echo(request):
    return request.payload


@services.service("hold", concurrency=256)
async def hold(request):
    await gate.wait()
    return request.payload


@services.service("open")
async def open_(request):
    gate.set()
    return b""
"""


class Scene:
    """A broker, a worker, and a bridge of one kind.

    Attributes:
        kind: of the bridge.
        net: behind it.
        bridge: its newest process.
        endpoint: where it listens, also after a restart.
    """

    def __init__(self, kind: str, folder: Path, net: LiveNet, lanes: int) -> None:
        self.kind = kind
        self.net = net
        self._lanes = lanes
        (port,) = free_ports(1)
        self.endpoint = f"127.0.0.1:{port}" if kind == "http" else f"tcp://127.0.0.1:{port}"
        net.add_members("b1")
        net.add_node("bridge-1", calls=["*"])
        net.broker("b1", local=True)
        (folder / "bench_worker.py").write_text(WORKER)
        net.serve("bench_worker:services", cwd=folder)
        net.wait_for_workers("echo")
        self._config = folder / "bridges.toml"
        self._config.touch(mode=0o600)
        self._config.write_text(self._told(folder))
        self.bridge = self.start()

    def _told(self, folder: Path) -> str:
        told = f'[{self.kind}]\nbind = ["{self.endpoint}"]\ntimeout_s = {TIMEOUT_S}\n'
        if self.kind != "http":
            return told
        callers = folder / "callers.toml"
        callers.touch(mode=0o600)
        rows = ((f"c{number}", hashlib.sha256(b"c%d" % number).hexdigest()) for number in range(PEERS_MAX))
        callers.write_text("".join(f'[{name}]\ntokens_sha256 = ["{digest}"]\n' for name, digest in rows))
        return told + 'callers = "callers.toml"\nanonymous = true\nconnections = 20_000\n'

    def start(self) -> Child:
        """Start the bridge, and wait until it listens."""
        self.bridge = self.net.start("bridge", "--config", self._config, "--join", self.net.join("bridge-1"))
        self.bridge.wait_for_line("of bridge-1 listens at ")
        return self.bridge

    def peer(self, number: int) -> Peer:
        """Make a peer."""
        return stranger(self.kind, self.endpoint, f"c{number}", self._lanes)


def stranger(kind: str, endpoint: str, name: str, lanes: int) -> Peer:
    """Make a peer of a bridge."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    context.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
    if kind == "majordomo":
        return MajordomoPeer(context, endpoint)
    if kind == "malamute":
        return MalamutePeer(context, endpoint, name)
    return HttpPeer(endpoint, name, lanes)


@contextmanager
def scene(kind: str, lanes: int) -> Iterator[Scene]:
    """Build a scene for peers with `lanes` calls at once, and end it."""
    with tempfile.TemporaryDirectory() as name, LiveNet(Path(name) / "net") as net:
        yield Scene(kind, Path(name), net, lanes)


def mib(child: Child) -> float:
    """Return the memory of a process in MiB."""
    return round(child.rss_bytes / 1024 / 1024, 1)


def crowd(it: Scene, peers: int, calls: int) -> dict[str, Any]:
    """Let peers have calls under way, all at once, and answer them."""
    memory = {"empty": mib(it.bridge)}
    those = Crowd(it.peer(number) for number in range(peers))
    answered: dict[int, int] = {}

    def note(_: Peer, number: int) -> None:
        answered[number] = answered.get(number, 0) + 1

    try:
        if it.kind != "http":  # whose gateway ends connections that have nothing under way
            those.ask_each("echo")
            those.wait_for(peers, TIMEOUT_S, lambda peer, number: None)
            memory["connected"] = mib(it.bridge)
        for number, peer in enumerate(those.peers):
            for call in range(calls):
                those.ask(peer, "hold", number * calls + call)
        those.wait_for(sum(not peer.mark() for peer in those.peers), TIMEOUT_S, lambda peer, number: None)
        memory["under_way"] = mib(it.bridge)
        begun = perf_counter()
        with Node(it.net.join("client")) as node:
            node.request("open", timeout=TIMEOUT_S)
        those.wait_for(peers * calls, TIMEOUT_S, note)
        seconds = round(perf_counter() - begun, 2)
    finally:
        those.close()
    memory["after"] = mib(it.bridge)
    once = sum(count == 1 for count in answered.values())
    return {"peers": peers, "calls": calls, "answered_once": once, "answered_in_s": seconds, "mib": memory}


# -- one that floods


class Load:
    """Peers that each have some calls under way all the time.

    Args:
        those: the peers.
        calls: how many each has under way.

    Attributes:
        answered: how many calls were answered so far.
    """

    def __init__(self, those: Crowd, calls: int) -> None:
        self.answered = 0
        self._those = those
        self._numbers = count()
        self._begun: dict[int, float] = {}
        for peer in those.peers:
            for _ in range(calls):
                self._ask(peer)

    def _ask(self, peer: Peer) -> None:
        number = next(self._numbers)
        self._begun[number] = perf_counter()
        self._those.ask(peer, "echo", number)

    def run(self, seconds: float) -> list[float]:
        """Go on for some time; return how long each call took that was answered meanwhile."""
        took: list[float] = []
        until = perf_counter() + seconds
        while perf_counter() < until:
            for peer, number in self._those.answers(0.1):
                took.append(perf_counter() - self._begun.pop(number))
                self.answered += 1
                self._ask(peer)
            for peer in self._those.peers:
                peer.keep_up()
        return took

    def measure(self, seconds: float) -> dict[str, float]:
        """Return what peers have of their calls. What is under way as it begins is not counted as far as possible."""
        self.run(seconds * UNCOUNTED)
        took = sorted(self.run(seconds))
        figures = {"p50_us": took[len(took) // 2] * 1e6, "p99_us": took[len(took) * 99 // 100] * 1e6}
        return {"calls_per_s": round(len(took) / seconds), **{name: round(value) for name, value in figures.items()}}


def flood(it: Scene, peers: int, calls: int, rounds: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield what peers have of their calls without and with one beside them that floods, and what it costs them."""
    those = Crowd(it.peer(number) for number in range(peers))
    load = Load(those, calls)
    costs: list[tuple[float, float, float]] = []
    try:
        for number in range(rounds):
            rows = []
            for flooded in (False, True):
                with flooding(it) if flooded else nullcontext():
                    answered, before = load.answered, processor_s(it.bridge.pid)
                    row: dict[str, Any] = load.measure(seconds)
                    used_us = (processor_s(it.bridge.pid) - before) * 1e6
                row["bridge_us"] = round(max(1.0, used_us / max(1, load.answered - answered)), 1)
                rows.append(row)
                yield {"round": number, "flooded": flooded, **row}
            calm, loud = rows
            slower = (loud[name] / calm[name] for name in ("p50_us", "bridge_us"))
            costs.append((*slower, calm["calls_per_s"] / loud["calls_per_s"]))
    finally:
        those.close()
    p50, bridge, throughput = (round(100 * (median(each) - 1), 1) for each in zip(*costs, strict=True))
    percents = {
        "p50_longer_by_percent": p50,
        "throughput_less_by_percent": throughput,
        "bridge_more_by_percent": bridge,
    }
    yield {**percents, "mib": mib(it.bridge)}


@contextmanager
def flooding(it: Scene) -> Iterator[None]:
    """Let a process of its own call as fast as it can."""
    flooder = it.net.launch([sys.executable, "-m", "bench.strangers", "flooder", it.kind, it.endpoint])
    try:
        flooder.wait_for_line(FLOODS)
        yield
    finally:
        flooder.end(signal.SIGKILL)


def flood_on(peer: Peer) -> None:
    """Call as fast as can be, for ever."""
    os.nice(10)
    alone = Crowd([peer])
    print(FLOODS, file=sys.stderr, flush=True)
    while True:
        wait_s = 0.0
        try:
            for _ in range(FLOOD_AT_ONCE):
                alone.ask(peer, "echo", 0)
        except IndexError:  # no connection is free
            wait_s = 0.1
        with suppress(FailedError):
            for _ in alone.answers(wait_s):
                pass
        peer.keep_up()


# -- a bridge that is killed


def restart(it: Scene, peers: int) -> dict[str, Any]:
    """Kill the bridge and start it again; peers ask as soon as it is gone."""
    those = Crowd(it.peer(number) for number in range(peers))
    those.ask_each("echo")
    those.wait_for(peers, TIMEOUT_S, lambda peer, number: None)
    begun = perf_counter()
    it.bridge.end(signal.SIGKILL)
    if it.kind != "http":
        those.ask_each("echo")
    it.start()
    listens_s = perf_counter() - begun
    if it.kind == "http":
        those.close()
        those = Crowd(it.peer(number) for number in range(peers))
        those.ask_each("echo")
    served: list[float] = []
    those.wait_for(peers, TIMEOUT_S, lambda peer, number: served.append(perf_counter() - begun))
    those.close()
    return {
        "peers": peers,
        "listens_s": round(listens_s, 2),
        "half_s": round(median(served), 2),
        "all_s": round(max(served), 2),
    }


def known(kind: str) -> str:
    """Return the name of a kind. Raises ArgumentTypeError."""
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(f"{kind!r} is none of {', '.join(KINDS)}")
    return kind


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.strangers", description=(__doc__ or "").partition("\n")[0])
    ways = parser.add_subparsers(dest="way", required=True)
    for way, peers in DEFAULT_PEERS.items():
        one = ways.add_parser(way)
        one.add_argument("kinds", nargs="*", default=KINDS, type=known, metavar="KIND", help=", ".join(KINDS))
        one.add_argument("--peers", type=int, default=peers)
        if way != "restart":
            one.add_argument("--calls", type=int, default=10, help="that each has under way")
        if way == "flood":
            one.add_argument("--rounds", type=int, default=5)
            one.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    hidden = ways.add_parser("flooder")
    hidden.add_argument("kind")
    hidden.add_argument("endpoint")
    asked = parser.parse_args()
    if asked.way == "flooder":
        flood_on(stranger(asked.kind, asked.endpoint, f"c{PEERS_MAX - 1}", FLOOD_LANES))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for kind in asked.kinds:
        with scene(kind, getattr(asked, "calls", 1)) as it:
            if asked.way == "crowd":
                rows: Iterable[dict[str, Any]] = [crowd(it, asked.peers, asked.calls)]
            elif asked.way == "flood":
                rows = flood(it, asked.peers, asked.calls, asked.rounds, asked.seconds)
            else:
                rows = [restart(it, asked.peers)]
            for row in rows:
                print(json.dumps({"kind": kind, **row}), flush=True)


if __name__ == "__main__":
    main()
