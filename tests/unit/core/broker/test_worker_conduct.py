"""Workers of one key that do only a part of what they are asked, beside two honest ones and four honest callers."""

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from braidmq.core.broker.conduct import OTHERS_MAX, Conduct, Kind
from braidmq.core.broker.cooling import OUTLIER_S_MAX
from braidmq.wire.envelope import LOST, REJECT, REPLY, Envelope, Reason
from tests.support.rigs.broker_rig import FakeMember, Rig

CREDIT = 50
STEP_S = 0.01

Answer = Callable[[FakeMember, Envelope], None]


class Net:
    """Honest callers and workers, and `connections` of one key whose answers `bad_answer` gives.

    Attributes:
        had: how many requests each member has had as a worker.
        ends: what became of the honest calls.
    """

    def __init__(self, connections: int = 1, *, bad_answer: Answer, keys: int = 1) -> None:
        self.rig, self.rng = Rig(), random.Random(1)
        self.callers = [self.rig.client(f"caller{number}") for number in range(4)]
        self.good = [self.rig.worker(name, credit=CREDIT) for name in ("one", "two")]
        self.bad = [self.rig.connect(f"bad{key}", serves=("*",)) for key in range(keys) for _ in range(connections)]
        for each in self.bad:
            each.ready(credit=CREDIT)
        self.bad_answer = bad_answer
        self.good_answer: Answer = lambda worker, request: worker.reply(request)
        self.had: Counter[bytes] = Counter()
        self.ends: Counter[int] = Counter()

    def call(self, calls: int) -> None:
        """Make honest calls, 100 each second."""
        for _ in range(calls):
            self.rng.choice(self.callers).request()
            self.serve()
            self.rig.advance(STEP_S, heartbeats=True)
            for caller in self.callers:
                self.ends.update(each.command for each in caller.transits(REPLY, REJECT, LOST))

    def serve(self) -> None:
        """Let the workers answer all that they have."""
        workers = [*self.good, *self.bad]
        while found := [(worker, request) for worker in workers for request in worker.requests()]:
            for worker, request in found:
                self.had[worker.name] += 1
                (self.bad_answer if worker in self.bad else self.good_answer)(worker, request)

    def errors(self, calls: int) -> float:
        """Make honest calls, and return the share that got no reply."""
        self.ends.clear()
        self.call(calls)
        return 1.0 - self.ends[REPLY] / calls

    def cools(self, worker: FakeMember) -> bool:
        return self.rig.core.sessions[worker.route].offers[b"echo"].cools


def mixed(command: int, good: int, code: int = 0) -> Answer:
    """Reply to so many requests, then answer one in another way."""
    count = 0

    def answer(worker: FakeMember, request: Envelope) -> None:
        nonlocal count
        count += 1
        if count % (good + 1):
            worker.reply(request)
        else:
            worker.send_answer(command, request, code=code)
            worker.ready(credit=CREDIT)

    return answer


@pytest.mark.parametrize(
    ("connections", "good"),
    [
        (1, 3),
        *(
            pytest.param(*each, marks=pytest.mark.nightly)
            for each in [(1, 0), (1, 1), (1, 5), (16, 0), (16, 1), (16, 3), (16, 5)]
        ),
    ],
)
class TestMixed:
    @pytest.mark.nightly
    def test_losses_cost_honest_callers_little(self, connections: int, good: int) -> None:
        net = Net(connections, bad_answer=mixed(LOST, good))
        assert net.errors(1_000) <= 0.07
        net.call(1_000)
        assert net.errors(2_000) <= 0.01

    @pytest.mark.nightly
    @pytest.mark.parametrize("reason", [Reason.BUSY, Reason.DENIED, Reason.EXPIRED])
    def test_refusals_cost_honest_callers_nothing(self, connections: int, good: int, reason: Reason) -> None:
        net = Net(connections, bad_answer=mixed(REJECT, good, reason))
        assert net.errors(1_000) <= 0.01


@pytest.mark.nightly
def test_accomplice_is_no_measure() -> None:
    net = Net(8, bad_answer=mixed(LOST, 1), keys=2)
    net.call(2_000)
    assert net.errors(1_500) <= 0.015


@pytest.mark.nightly
def test_one_that_comes_back_or_grants_anew_is_no_other() -> None:
    net = Net(bad_answer=mixed(LOST, 1))
    net.call(2_000)
    had = net.had[b"bad0"]
    (bad,) = net.bad
    for _ in range(50):
        bad.ready(credit=0)
        bad.ready(credit=CREDIT)
        net.call(5)
        bad.disconnect()
        bad = net.bad[0] = net.rig.connect("bad0", serves=("*",))
        bad.ready(credit=CREDIT)
        net.call(5)
    assert net.had[b"bad0"] - had <= 30


@pytest.mark.nightly
def test_refusals_among_many_replies_cost_nothing() -> None:
    """Also where no run of them is long."""
    count = 0

    def answer(worker: FakeMember, request: Envelope) -> None:
        nonlocal count
        count += 1
        if count % 11:
            worker.reject(request, Reason.BUSY)
            worker.ready(credit=CREDIT)
        else:
            worker.reply(request)

    net = Net(16, bad_answer=answer)
    net.call(1_000)
    had = net.had[b"bad0"]
    assert net.errors(1_000) == 0.0
    assert net.had[b"bad0"] - had <= 100


@pytest.mark.nightly
def test_mended_worker_gets_its_share_back() -> None:
    net = Net(bad_answer=mixed(LOST, 1))
    net.call(3_000)
    net.bad_answer = net.good_answer
    net.rig.advance(OUTLIER_S_MAX, heartbeats=True)
    net.had.clear()
    net.call(900)
    assert net.had[b"bad0"] >= 250


class TestCallersThatConspire:
    """Two keys that have an honest worker lose what they ask for: they call it off, and ask again."""

    def cooled(self, net: Net, seconds: float, each: int = 2) -> float:
        """Return the share of the time in which an honest worker has got nothing."""
        bad = [net.rig.client("liar0"), net.rig.client("liar1")]
        cooled, steps = 0, int(seconds / STEP_S)
        for _ in range(steps):
            for liar in bad:
                for _ in range(each):
                    liar.request(payload=b"lose it")
            net.call(1)
            cooled += any(net.cools(worker) for worker in net.good)
        assert net.ends[REPLY] == steps
        return cooled / steps

    @pytest.mark.nightly
    def test_at_one_worker(self) -> None:
        net = Net(0, bad_answer=mixed(LOST, 0))

        def answer(worker: FakeMember, request: Envelope) -> None:
            if request.payload and worker is net.good[0]:
                worker.send_answer(LOST, request)
            else:
                worker.reply(request)

        net.good_answer = answer
        assert self.cooled(net, 20.0) <= 0.05

    @pytest.mark.nightly
    @pytest.mark.parametrize("callers", [1, 2, 4])
    def test_at_all_workers(self, callers: int) -> None:
        net = Net(0, bad_answer=mixed(LOST, 0))
        del net.callers[callers:]

        def answer(worker: FakeMember, request: Envelope) -> None:
            if request.payload and net.rng.random() < 0.5:
                worker.send_answer(LOST, request)
            else:
                worker.reply(request)

        net.good_answer = answer
        assert self.cooled(net, 20.0) <= 0.1

    @pytest.mark.nightly
    def test_do_not_shield_a_worker_that_is_bad_to_others(self) -> None:
        net = Net(bad_answer=mixed(LOST, 1))
        good = net.bad_answer
        liars = [net.rig.client("liar0"), net.rig.client("liar1")]

        def answer(worker: FakeMember, request: Envelope) -> None:
            if request.payload:
                worker.reply(request)
            else:
                good(worker, request)

        net.bad_answer = answer
        for _ in range(2_000):
            for liar in liars:
                liar.request(payload=b"praise")
            net.call(1)
        assert net.errors(1_000) <= 0.02


def test_workers_are_compared_for_the_same_callers() -> None:
    """All lose half of what one asks for; one of them has more of it."""
    worker, other = Conduct(b"worker"), Conduct(b"other")
    worker.offers, other.offers = {object(): None}, {object(): None}  # type: ignore[dict-item]
    for conduct, times in ((worker, 100), (other, 10)):
        for _ in range(100):
            conduct.praise("good")
        for _ in range(times):
            for caller in ("bad0", "bad1"):
                conduct.praise(caller)
                conduct.blame(caller)
    assert worker.outcomes(Kind.LOST, worker.counted()) == (100.0, 200.0)
    assert not worker.is_outlier(Kind.LOST, [other], 0.0)
    other.callers["bad0"].bad = other.callers["bad1"].bad = 0.0
    assert worker.is_outlier(Kind.LOST, [other], 0.0)


def test_what_is_lost_to_few_of_many_callers_is_no_verdict() -> None:
    worker, other = Conduct(b"worker"), Conduct(b"other")
    worker.offers, other.offers = {object(): None}, {object(): None}  # type: ignore[dict-item]
    other.good = 1_000.0
    for number in range(4):
        worker.blame(f"bad{number % 2}")
        worker.praise(f"good{number}")
    assert worker.outcomes(Kind.LOST, worker.counted()) == (0.0, 4.0)
    assert not worker.is_outlier(Kind.LOST, [other], 0.0)


def test_many_outcomes_of_an_accomplice_are_no_measure() -> None:
    worker, accomplice, one, two = conducts = [Conduct(str(number).encode()) for number in range(4)]
    for each, good, refused in ((worker, 20, 20), (accomplice, 400, 400), (one, 15, 0), (two, 15, 0)):
        each.offers, each.good, each.refused = {object(): None}, good, refused  # type: ignore[dict-item]
    assert worker.is_outlier(Kind.REFUSED, conducts, 0.0)
    assert not one.is_outlier(Kind.REFUSED, conducts, 0.0)


def test_comparison_looks_at_few_others() -> None:
    seen: list[Conduct] = []

    def others() -> Iterator[Conduct]:
        for number in range(1_000):
            other = Conduct(str(number).encode())
            other.offers, other.good = {object(): None}, 100.0  # type: ignore[dict-item]
            seen.append(other)
            yield other

    worker = Conduct(b"worker")
    for _ in range(5):
        worker.refuse(Kind.REFUSED)
    assert worker.is_outlier(Kind.REFUSED, others(), 0.0)
    assert len(seen) == OTHERS_MAX
