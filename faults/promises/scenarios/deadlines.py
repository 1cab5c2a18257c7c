"""A handler's place is free for the next request once its deadline is over, whatever became of its caller."""

from functools import partial
from time import monotonic, sleep
from typing import Final, Literal

from braidmq.lab.processes.waiting import wait_until
from faults.promises.jobs import THREAD
from faults.promises.judge import places_held
from faults.promises.net import PromiseNet
from faults.promises.orders import Ask
from faults.promises.promise import Bound, Promise
from faults.promises.stage import Stage

Fate = Literal[
    "none", "kill-caller", "reset-caller", "cancel-after-reset", "kill-broker", "kill-brokers", "lose-brokers"
]

PLACES: Final = 4

DEADLINE_S: Final = 3.0

HANGS_S: Final = 3600.0

WATCHED_S: Final = 6.0
"""How long after the deadline it is watched. What has not ended by then counts as this late."""

FREE_S_MAX: Final = 0.5

PROBE_S: Final = WATCHED_S + DEADLINE_S
"""How long a request runs that shows that a place is free: as long as all is watched, so that each takes its own."""

BACK_S: Final = 0.3
"""How long killed brokers are down, and how long a caller that was cut off waits before it cancels."""


def run(fate: Fate, stage: Stage) -> None:
    """Let handlers hang, let their caller suffer its fate, and see when their places are free."""
    net, evidence = stage.net, stage.evidence
    net.open(2, ["w1", "caller", "probe"], proxied=fate in ("reset-caller", "cancel-after-reset"))
    net.start_worker("w1", PLACES)
    net.ready(1)
    caller, probe = net.start_caller("caller"), net.start_caller("probe")
    caller.begin("hang", Ask(work_s=HANGS_S, timeout_s=DEADLINE_S), count=PLACES)
    deadline = max(each.deadline for each in net.wait_for_runs("hang", PLACES))
    probe.begin("probe", Ask(work_s=PROBE_S, timeout_s=2 * PROBE_S, attempts=20), count=PLACES)
    _suffer(fate, net)
    until = deadline + WATCHED_S
    net.has_run("probe", PLACES, max(0.0, until - monotonic()))
    if fate != "lose-brokers":  # no request can come then
        _note_free_places(stage, deadline)
    over = [each for each in net.over if each.key.startswith("hang")]
    evidence.sample("a handler outlives its deadline by", *places_held(net.runs("hang"), over, until))


def _suffer(fate: Fate, net: PromiseNet) -> None:
    """Let it happen to the caller of what hangs."""
    if fate == "kill-caller":
        net.kill("caller")
    elif fate in ("kill-broker", "kill-brokers", "lose-brokers"):
        victims = net.brokers[:1] if fate == "kill-broker" else net.brokers
        for broker in victims:
            net.kill(broker)
        if fate != "lose-brokers":
            sleep(BACK_S)
            for broker in victims:
                net.start_broker(broker)
    elif fate in ("reset-caller", "cancel-after-reset"):
        for proxy in net.proxies.values():
            proxy.reset("caller")
        if fate == "cancel-after-reset":
            sleep(BACK_S)
            net.callers["caller"].cancel("hang")


def _note_free_places(stage: Stage, deadline: float) -> None:
    """Note how long after the deadline each probe began: that long its place was not free."""
    begun = [each.started for each in stage.net.runs("probe")]
    begun += [deadline + WATCHED_S] * (PLACES - len(begun))
    stage.evidence.sample("a place is free after", *(max(0.0, each - deadline) for each in begun))


def run_thread(stage: Stage) -> None:
    """Let handlers in threads outlive their deadline, and see when their places are free and what the worker says."""
    net, evidence = stage.net, stage.evidence
    net.open(2, ["w1", "caller", "probe"])
    net.start_worker("w1", PLACES, service=THREAD)
    net.ready(1, service=THREAD)
    caller, probe = net.start_caller("caller"), net.start_caller("probe")
    caller.begin("hang", Ask(THREAD, work_s=DEADLINE_S + WATCHED_S, timeout_s=DEADLINE_S), count=PLACES)
    deadline = max(each.deadline for each in net.wait_for_runs("hang", PLACES))
    said_before = net.children["w1"].log
    probe.begin("probe", Ask(THREAD, work_s=PROBE_S, timeout_s=2 * PROBE_S, attempts=20), count=PLACES)
    evidence.count({"lost": caller.wait(2 * DEADLINE_S)})
    net.has_run("probe", PLACES, max(0.0, deadline + WATCHED_S - monotonic()))
    _note_free_places(stage, deadline)
    evidence.count({"lost": probe.wait(2 * PROBE_S)})
    net.judge(evidence)
    wait_until(lambda: len(net.over) == 2 * PLACES, "the threads have ended")
    said = [line for line in net.children["w1"].log.removeprefix(said_before).splitlines() if THREAD in line]
    evidence.count({"runs": 1, "told": bool(said)})
    for line in said:
        evidence.note(line)


HANDLERS: Final = Bound("a handler outlives its deadline by", most=FREE_S_MAX, at=1.0)
PLACES_FREE: Final = Bound("a place is free after", most=FREE_S_MAX, at=1.0)

FATES: Final[dict[Fate, str]] = {
    "none": "and its caller waits for it",
    "kill-caller": "and its caller is killed",
    "reset-caller": "and its caller's connections are reset",
    "kill-broker": "and one of the brokers is killed",
    "kill-brokers": "and all brokers are killed, and come back",
    "lose-brokers": "and all brokers are killed, and stay down",
    "cancel-after-reset": "and its caller's connections are reset, and its task is cancelled",
}

PROMISES: Final = (
    *(
        Promise(
            f"deadline-{fate}",
            f"no handler outlives its deadline: it hangs, {what}",
            partial(run, fate),
            (HANDLERS,) if fate == "lose-brokers" else (HANDLERS, PLACES_FREE),
            runs=3,
        )
        for fate, what in FATES.items()
    ),
    Promise(
        "deadline-thread",
        "a handler in a thread cannot be stopped: the log says so, and another one has its place",
        run_thread,
        (
            Bound("told", least=1, of="runs"),
            Bound("lost", most=0, of="calls"),
            Bound("failed", of="calls"),
            PLACES_FREE,
        ),
    ),
)
