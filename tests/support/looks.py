"""Looks at nets that are made up: what brokers would tell, for tests of what the monitor makes of it."""

from braidmq.monitor.diagnoses import diagnose
from braidmq.monitor.looking import Look
from braidmq.monitor.net import View
from braidmq.node import BrokerInfo
from braidmq.wire.control import NodeStatus, PeerStatus, Report, ServiceStatus

NAMES = ("b1", "b2", "b3")


def info(name, state="up", problem=None):
    """What the monitor knows of a broker itself."""
    return BrokerInfo(name, (f"tcp://{name}:1",), state, problem)


def told(name, *, names=NAMES, nodes=(), services=(), uptime_s=100.0, queued=0, in_flight=0, **more):
    """A broker that is well, and tells so."""
    rows = [
        PeerStatus(each, "alive", "" if each == name else "up", since_ms=100_000, queued=queued, in_flight=in_flight)
        for each in names
    ]
    report = Report(
        broker=name,
        uptime_s=uptime_s,
        brokers=sorted(rows, key=lambda row: row.name != name),
        nodes=list(nodes),
        services=list(services),
        **{"software": "braidmq 9", "state": "up", "nodes_total": len(nodes), "services_total": len(services), **more},
    )
    return View(info(name), report)


def mute(name, problem="nothing answers there"):
    """A broker that tells nothing."""
    return View(info(name, "waiting", problem), None)


def node(name="w1", state="open", serves=("echo",), in_flight=0):
    return NodeStatus(name, state, 10, in_flight, list(serves))


def service(name="echo", workers=1, credit=8, outstanding=0, queued=0):
    return ServiceStatus(name, workers, credit, outstanding, queued)


def look(*views, at_s=0.0):
    """A look at these brokers."""
    return Look(list(views), diagnose(list(views)), at_s, 0.01)
