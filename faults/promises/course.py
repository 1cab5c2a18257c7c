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

from faults.child import wait_until
from faults.promises.jobs import IDLE
from faults.promises.net import PromiseNet
from faults.promises.orders import Ask
from faults.promises.proxy import FROM, TO
from faults.promises.stage import Stage
from faults.promises.ways import Way, Ways

FIRST_S: Final = 0.15
"""How long X waits before the fault."""

AFTERWARDS_S: Final = 1.0
"""How long a copy may take to begin once its place is free."""

TIMEOUT_S: Final = 20.0

FILLER_TIMEOUT_S: Final = 60.0


def run_one_of(ways: Ways, stage: Stage) -> None:
    """Draw a way and run it."""
    run(ways.draw(stage.rng), stage)


def run(way: Way, stage: Stage) -> None:
    """See the module."""
    net, evidence = stage.net, stage.evidence
    net.open(2, ["w1", "w2", "filler", "caller"], proxied=way.proxied)
    holder, own, other = (_waits_at_broker if way.queue == "broker" else _waits_at_worker)(net, way)
    if way.queue == "worker":
        net.start_worker(other)
    sleep(FIRST_S)
    began = monotonic()
    _do(way, net, holder, own)
    if way.queue == "broker":
        sleep(max(0.0, began + way.release_s - monotonic()))
        net.open_gate(other)
    if net.has_run("x", 1, max(0.0, began + way.release_s - monotonic()) + AFTERWARDS_S):
        sleep(way.gap_s)
    net.open_gate(own)
    net.callers["caller"].wait(TIMEOUT_S)
    net.has_run("x", 2, AFTERWARDS_S)
    net.judge(evidence, "x")
    evidence.count({"runs": 1})
    story = ", ".join(
        f"{each.worker} {'flagged' if each.possible_duplicate else 'unflagged'} at {each.started - began:+.2f} s"
        for each in sorted(net.runs("x"), key=lambda each: each.started)
    )
    evidence.note(f"{way.fault}, X in the {way.queue}'s queue, {way.stall_s:.1f} s, job {way.job_s:.1f} s: {story}")


def _waits_at_broker(net: PromiseNet, way: Way) -> tuple[str, str, str]:
    """Let X wait at a broker; return that, the worker that it waits for, and the other worker."""
    near = {"b1": "w1", "b2": "w2"}
    for broker, worker in (("b1", "w2"), ("b2", "w1")):
        net.proxies[broker].refuse(worker)
    for worker in near.values():
        net.start_worker(worker)
    net.ready(1)
    filler = net.start_caller("filler")
    for broker in near:
        filler.begin(f"fill-{broker}-", _filler(broker))
    net.wait_for_runs("fill", 2)
    holder = _call_x(net, way)
    own = near.pop(holder)
    return holder, own, next(iter(near.values()))


def _waits_at_worker(net: PromiseNet, way: Way) -> tuple[str, str, str]:
    """Let X wait in w1, if it takes what it has no place for; return as `_waits_at_broker` does."""
    net.start_worker("w1")
    net.ready(1)
    return _call_x(net, way, filled_via="b1"), "w1", "w2"


def _call_x(net: PromiseNet, way: Way, filled_via: str = "") -> str:
    """Call X, and return the broker that has it.

    Where the caller's own call fills the place over one broker, it tends to take the other one for the next.
    """
    caller = net.start_caller("caller")
    if filled_via:
        caller.begin("fill", _filler(filled_via))
        net.wait_for_runs("fill")
    before = {name: sum(each) for name, each in net.held().items()}
    if way.fault == "delay-and-kill":
        for proxy in net.proxies.values():
            for member in ("caller", "w1"):
                proxy.delay(member, way.delay_s, *way.paths)
    caller.begin("x", Ask(work_s=way.job_s, timeout_s=TIMEOUT_S))

    def taken() -> str:
        return next((name for name, each in net.held().items() if sum(each) > before[name]), "")

    return wait_until(taken, "X is at a broker")


def _filler(via: str) -> Ask:
    """Return what holds a place until its gate is opened; with one attempt it never holds another one."""
    return Ask(gated=True, timeout_s=FILLER_TIMEOUT_S, attempts=1, via=via)


def _do(way: Way, net: PromiseNet, holder: str, own: str) -> None:
    """Let the fault happen, and end, if it does not last."""
    if way.fault in ("kill-broker", "delay-and-kill"):
        net.kill(holder)
    elif way.fault == "stop-broker":
        _stop(net, holder, way.stall_s)
    elif way.fault == "stop-worker":
        _stop(net, own, way.stall_s)
    elif way.fault == "block-caller":
        net.callers["caller"].block(way.stall_s)
        sleep(way.stall_s)
    elif way.fault == "block-calling":
        net.callers["caller"].begin("other", Ask(service=IDLE), stall_s=way.stall_s)
    elif way.fault in ("hold-caller", "hold-worker"):
        member = "caller" if way.fault == "hold-caller" else own
        net.proxies[holder].hold(member, *way.paths)
        sleep(way.stall_s)
        net.proxies[holder].release(member, TO, FROM)
    elif way.fault in ("reset-caller", "reset-worker"):
        net.proxies[holder].reset("caller" if way.fault == "reset-caller" else own)


def _stop(net: PromiseNet, name: str, for_s: float) -> None:
    net.stop(name)
    sleep(for_s)
    net.go_on(name)
