"""A look at a net of three brokers, of which one may be dead, for tests of what commands show."""

import msgspec

from braidmq.core.histogram import Histogram
from braidmq.core.links.link import Failure
from braidmq.monitor.diagnoses import diagnose
from braidmq.monitor.looking import Look
from braidmq.monitor.net import View
from braidmq.node import BrokerInfo
from braidmq.wire.control import NodeStatus, PeerStatus, Report, ServiceStatus

NAMES = ("b1", "b2", "b3")

NODES = [
    NodeStatus("shop", "open", 10, 40),
    NodeStatus("web", "open", 20, 10),
    NodeStatus("w1", "open", 12, 0, ["pricing"]),
    NodeStatus("w2", "open", 7, 0, ["pricing", "stock"]),
]

SERVICES = [
    ServiceStatus("idle", 1, 8, 0, 0),
    ServiceStatus("pricing", 2, 64, 60, 12),
    ServiceStatus("stock", 1, 8, 1, 0),
]


def took(replies):
    """How long so many replies of 3 ms have taken."""
    histogram = Histogram()
    histogram.add(0.003, replies)
    return histogram.encoded()


def info(name, state="up", problem=None):
    return BrokerInfo(name, (f"tcp://10.0.0.{name.removeprefix('b')}:5551",), state, problem)


def view(name, *, dead=(), uptime_s=90.0, requests=0, services=SERVICES, nodes=NODES):
    """A broker that tells its state."""
    if name in dead:
        return View(info(name, "waiting", str(Failure.UNREACHABLE)), None)
    others = [
        PeerStatus(other, "dead", "waiting", str(Failure.UNREACHABLE), since_ms=12_000)
        if other in dead
        else PeerStatus(other, "alive", "up", rtt_ms=1)
        for other in NAMES
        if other != name
    ]
    rows = [msgspec.structs.replace(each, replies=requests // 2, took=took(requests // 2)) for each in services]
    callers = [msgspec.structs.replace(each, requests=each.in_flight * requests) for each in nodes]
    own = PeerStatus(name, "alive", nodes=len(nodes), in_flight=61, queued=12, services=len(services))
    return View(
        info(name),
        Report(
            broker=name,
            software="braidmq 9",
            state="up",
            uptime_s=uptime_s,
            brokers=[own, *others],
            nodes=callers,
            nodes_total=len(nodes),
            services=rows,
            services_total=len(services),
            counters={"requests": requests, "replies": requests // 2, "rejected": 3},
        ),
    )


def looks(*dead, **more):
    """A look a second after another one; meanwhile each broker has got 2,100 requests."""
    before = [view(name, dead=dead, **more) for name in NAMES]
    views = [view(name, dead=dead, uptime_s=91.0, requests=2_100, **more) for name in NAMES]
    return Look(views, diagnose(views, before, 1.0), 1.0, 0.01, before)
