"""The course of a run in which a call waits in a queue, something goes wrong, and it runs elsewhere meanwhile.

The call X waits for the only place of a worker, which another job holds until its gate is opened. So whatever the
fault does happens in a known order:

- *in the broker's queue*: each of two workers reaches one of the brokers only, and is busy. X waits at one broker.
  After the fault the other worker's gate is opened, and a second copy may run there; then X's own one.
- *in the worker's queue*: a worker of one place is busy for one broker, and X has come through the other one, which
  could not know. A second worker has just come. A second copy may run there; then the first worker's gate is opened.
"""

from time import monotonic, sleep
from typing import Final

from braidmq.lab.processes.waiting import wait_until
from faults.promises.jobs import IDLE
from faults.promises.net import END_S, PromiseNet
from faults.promises.orders import Ask
from faults.promises.stage import Stage
from faults.promises.ways import Way, Ways

FIRST_S: Final = 0.15
"""How long X waits before the fault."""

AFTERWARDS_S: Final = 1.0
"""How long a copy may take to begin once its place is free."""

TIMEOUT_S: Final = 20.0

FIRST, SECOND = "b1", "b2"
"""The brokers. Where a worker's queue is meant, its place is taken over the first."""

FILLER_TIMEOUT_S: Final = 60.0


def run_one_of(ways: Ways, stage: Stage) -> None:
    """Draw a way and run it."""
    run(ways.draw(stage.rng), stage)


def run(way: Way, stage: Stage) -> None:
    """See the module."""
    net, evidence = stage.net, stage.evidence
    net.open(2, ["w1", "w2", "filler", "caller"], proxied=way.proxied)
    (_fill_both if way.queue == "broker" else _fill_one)(net)
    if way.early:
        holder = SECOND
        began = _begin_fault(way, net, holder)
        _call_x(net, way)
    else:
        holder = _call_x_and_find_it(net, way)
    if way.queue == "worker":
        net.start_worker("w2")
    if not way.early:
        sleep(FIRST_S)
        began = _begin_fault(way, net, holder)
    sleep(max(0.0, began + way.stall_s - monotonic()))
    _end_fault(way, net, holder)
    own, other = _workers(way, holder)
    if way.queue == "broker":
        sleep(max(0.0, began + way.release_s - monotonic()))
        net.open_gate(other)
    if net.has_run("x", 1, max(0.0, began + way.release_s - monotonic()) + AFTERWARDS_S):
        sleep(way.gap_s)
    net.open_gate(own)
    lost = not net.has_ended("x", 1, TIMEOUT_S + END_S)
    net.has_run("x", 2, AFTERWARDS_S)
    net.judge(evidence, "x")
    evidence.count({"runs": 1, "lost": lost, "calls": lost})
    evidence.note(f"{way}: {_story(net, began)}")


def _workers(way: Way, holder: str) -> tuple[str, str]:
    """Return the worker that X waits for, and the other one."""
    return ("w1", "w2") if way.queue == "worker" or holder == FIRST else ("w2", "w1")


def _fill_both(net: PromiseNet) -> None:
    """Let each of two workers reach one broker only, and be busy."""
    for broker, stranger in ((FIRST, "w2"), (SECOND, "w1")):
        net.proxies[broker].refuse(stranger)
    for worker in ("w1", "w2"):
        net.start_worker(worker)
    net.ready(1)
    net.start_caller("caller")
    filler = net.start_caller("filler")
    for broker in (FIRST, SECOND):
        filler.begin(f"fill-{broker}-", _filler(broker))
    net.wait_for_runs("fill", 2)


def _fill_one(net: PromiseNet) -> None:
    """Let the only place of the only worker be taken over one broker.

    The caller does it itself, as it then tends to take the other broker for its next call.
    """
    net.start_worker("w1")
    net.ready(1)
    net.start_caller("caller").begin("fill", _filler(FIRST))
    net.wait_for_runs("fill")


def _filler(via: str) -> Ask:
    """Return what holds a place until its gate is opened; with one attempt it never holds another one."""
    return Ask(gated=True, timeout_s=FILLER_TIMEOUT_S, attempts=1, via=via)


def _call_x(net: PromiseNet, way: Way) -> None:
    net.callers["caller"].begin("x", Ask(work_s=way.job_s, timeout_s=TIMEOUT_S))


def _call_x_and_find_it(net: PromiseNet, way: Way) -> str:
    """Call X, and return the broker that has it."""
    before = {name: sum(each) for name, each in net.held().items()}
    if way.fault == "delay-and-kill":
        for proxy in net.proxies.values():
            for member in ("caller", "w1"):
                proxy.delay(member, way.delay_s, *way.paths)
    _call_x(net, way)

    def taken() -> str:
        return next((name for name, each in net.held().items() if sum(each) > before[name]), "")

    return wait_until(taken, "X is at a broker")


def _begin_fault(way: Way, net: PromiseNet, holder: str) -> float:
    """Let the fault begin; return when."""
    now, fault, (own, _other) = monotonic(), way.fault, _workers(way, holder)
    if fault in ("kill-broker", "delay-and-kill"):
        net.kill(holder)
    elif fault in ("stop-broker", "stop-worker"):
        net.stop(holder if fault == "stop-broker" else own)
    elif fault == "block-caller":
        net.callers["caller"].block(way.stall_s)
    elif fault == "block-calling":
        net.callers["caller"].begin("other", Ask(service=IDLE), stall_s=way.stall_s)
    elif fault in ("hold-caller", "hold-worker"):
        net.proxies[holder].hold("caller" if fault == "hold-caller" else own, *way.paths)
    elif fault in ("reset-caller", "reset-worker"):
        net.proxies[holder].reset("caller" if fault == "reset-caller" else own)
    return now


def _end_fault(way: Way, net: PromiseNet, holder: str) -> None:
    """Let the fault end, if it lasts."""
    fault, (own, _other) = way.fault, _workers(way, holder)
    if fault in ("stop-broker", "stop-worker"):
        net.go_on(holder if fault == "stop-broker" else own)
    elif fault in ("hold-caller", "hold-worker"):
        net.proxies[holder].release("caller" if fault == "hold-caller" else own, *way.paths)


def _story(net: PromiseNet, began: float) -> str:
    """Return in words where and when X has run, counted from the beginning of the fault."""
    return ", ".join(
        f"{each.worker} {'flagged' if each.possible_duplicate else 'unflagged'} at {each.started - began:+.2f} s"
        for each in sorted(net.runs("x"), key=lambda each: each.started)
    )
