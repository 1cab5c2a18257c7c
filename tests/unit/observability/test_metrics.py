"""What is told to an observer becomes numbers."""

from collections import Counter

import pytest

from braidmq.errors import DeadlineExceeded, ServiceError
from braidmq.messages import Reply
from braidmq.observability import instruments as of
from braidmq.observability.instruments import OTHER, SYSTEM, Bounded, Instrument, Kind
from braidmq.observability.metrics import MetricsObserver
from braidmq.observer import AttemptEnd, JobEnd, NodeObserver
from tests.support.rigs.node_rig import NodeRig


class Noting:
    """A meter that keeps all it is given."""

    def __init__(self) -> None:
        self.sums: Counter[tuple[str, ...]] = Counter()
        self.values: list[tuple[str | float, ...]] = []

    def add(self, instrument: Instrument, amount: int, labels: tuple[str, ...]) -> None:
        assert instrument.kind is not Kind.HISTOGRAM
        assert len(labels) == len(instrument.labels)
        assert amount > 0 or instrument.kind is Kind.LEVEL
        self.sums[instrument.name, *labels] += amount

    def record(self, instrument: Instrument, value: float, labels: tuple[str, ...]) -> None:
        assert instrument.kind is Kind.HISTOGRAM
        assert len(labels) == len(instrument.labels)
        self.values.append((instrument.name, value, *labels))

    def left(self) -> dict[tuple[str, ...], int]:
        """The levels that are not 0."""
        levels = {each.name for each in of.INSTRUMENTS if each.kind is Kind.LEVEL}
        return {key: value for key, value in self.sums.items() if value and key[0] in levels}


@pytest.fixture
def meter() -> Noting:
    return Noting()


@pytest.fixture
def observer(meter: Noting) -> MetricsObserver:
    return MetricsObserver(meter)


ID = bytes(16)


def reply(*, duplicate: bool = False) -> Reply:
    return Reply(b"", "w", "c", "s", b"r", ID, duplicate, 0, "b1")


def test_every_hook_of_a_node_is_measured_but_for_certificates() -> None:
    hooks = {name for name in vars(NodeObserver) if name.startswith("on_")}
    assert hooks - vars(MetricsObserver).keys() == {"on_certificate_end"}


def test_a_call_waits_is_in_flight_and_ends(meter: Noting, observer: MetricsObserver) -> None:
    observer.on_call(ID, "s", 1.0)
    assert meter.left() == {(of.CLIENT_WAITING.name, "s"): 1}
    observer.on_attempt(ID, "b1", 1, 1.0)
    assert meter.left() == {(of.CLIENT_IN_FLIGHT.name, "s"): 1}
    observer.on_attempt_end(ID, "b1", AttemptEnd.REJECTED, "BUSY", 2.0)
    assert meter.left() == {(of.CLIENT_WAITING.name, "s"): 1}
    observer.on_attempt(ID, "b2", 2, 2.0)
    observer.on_attempt_end(ID, "b2", AttemptEnd.ANSWERED, "", 3.0)
    observer.on_call_end(ID, reply(duplicate=True), 2.0, 3.0)
    assert meter.left() == {}
    assert meter.sums[of.CLIENT_ATTEMPTS.name, "s", "b1", "rejected", "BUSY"] == 1
    assert meter.sums[of.CLIENT_ATTEMPTS.name, "s", "b2", "answered", ""] == 1
    assert meter.sums[of.CLIENT_RETRIES.name, "s"] == 1
    assert meter.sums[of.CLIENT_DUPLICATES.name, "s"] == 1
    assert meter.values == [(of.CLIENT_DURATION.name, 2.0, SYSTEM, "s", "OK", "")]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (None, "CANCELLED"),
        (ServiceError("OUT_OF_STOCK"), "OUT_OF_STOCK"),
        (DeadlineExceeded("late"), "DeadlineExceeded"),
    ],
)
def test_a_call_that_fails_says_how(
    meter: Noting, observer: MetricsObserver, outcome: ServiceError | None, status: str
) -> None:
    observer.on_call(ID, "s", 1.0)
    observer.on_call_end(ID, outcome, 0.5, 1.5)
    assert meter.values == [(of.CLIENT_DURATION.name, 0.5, SYSTEM, "s", status, status)]


def test_a_job_waits_runs_and_ends(meter: Noting, observer: MetricsObserver) -> None:
    observer.on_job(ID, "s", "c", "b1", 1.0)
    assert meter.left() == {(of.SERVER_WAITING.name, "s"): 1}
    observer.on_job_begun(ID, 1.0)
    assert meter.left() == {(of.SERVER_IN_FLIGHT.name, "s"): 1}
    observer.on_job_joined(ID, "b2", 1.5)
    observer.on_job_end(ID, JobEnd.ERROR, 1.0, 2.0)
    assert meter.left() == {}
    assert meter.sums[of.SERVER_REQUESTS.name, "s", "error"] == 1
    assert meter.sums[of.SERVER_DUPLICATES.name, "b2"] == 1
    assert meter.values == [(of.SERVER_DURATION.name, 1.0, SYSTEM, "s", "ERROR", "ERROR")]


def test_a_job_whose_handler_was_not_called_has_no_duration(meter: Noting, observer: MetricsObserver) -> None:
    observer.on_job(ID, "s", "c", "b1", 1.0)
    observer.on_job_end(ID, JobEnd.REFUSED, 0.0, 2.0)
    assert meter.left() == {}
    assert meter.values == []


def test_two_jobs_under_one_id_are_two(meter: Noting, observer: MetricsObserver) -> None:
    observer.on_job(ID, "s", "c1", "b1", 1.0)
    observer.on_job(ID, "t", "c2", "b1", 1.0)
    observer.on_job_begun(ID, 1.0)
    observer.on_job_end(ID, JobEnd.REFUSED, 0.0, 1.0)
    observer.on_job_end(ID, JobEnd.RESULT, 1.0, 2.0)
    assert meter.left() == {}


def test_a_service_that_nobody_knows_is_no_label(meter: Noting, observer: MetricsObserver) -> None:
    observer.on_credit("s", "b1", 4, 1.0)
    observer.on_job_refused(ID, "s", "b1", "BUSY", 1.0)
    observer.on_job_refused(ID, "whatever", "b1", "NO_WORKER", 1.0)
    assert meter.sums[of.SERVER_REFUSED.name, "s", "BUSY"] == 1
    assert meter.sums[of.SERVER_REFUSED.name, OTHER, "NO_WORKER"] == 1


def test_credit_is_what_was_told_last(meter: Noting, observer: MetricsObserver) -> None:
    observer.on_credit("s", "b1", 4, 1.0)
    observer.on_credit("s", "b1", 1, 1.0)
    assert meter.left() == {(of.SERVER_CREDIT.name, "s", "b1"): 1}
    observer.on_credit("s", "b1", 0, 1.0)
    assert meter.left() == {}


def test_a_standstill_counts_for_each_that_may_have_done_it(meter: Noting, observer: MetricsObserver) -> None:
    observer.on_stall(("s", "t"), 0.2, 1.0)
    observer.on_stall((), 0.7, 2.0)
    assert {key[1] for key in meter.sums if key[0] == of.LOOP_STANDSTILLS.name} == {"s", "t", ""}


def test_what_a_node_leaves_behind_is_over(meter: Noting, observer: MetricsObserver) -> None:
    for number in (1, 2):
        observer.on_call(bytes([number]), "s", 1.0)
        observer.on_job(bytes([number]), "s", "c", "b1", 1.0)
    observer.on_attempt(bytes([1]), "b1", 1, 1.0)
    observer.on_job_begun(bytes([1]), 1.0)
    observer.on_credit("s", "b1", 4, 1.0)
    observer.on_lag(0.25, 1.0)
    observer.on_closed(2.0)
    assert meter.left() == {}
    assert meter.values == [(of.LOOP_LAG.name, 0.25)]


def test_labels_are_bounded() -> None:
    bounded = Bounded(2)
    assert [bounded(each) for each in ("a", "b", "c", "a")] == ["a", "b", OTHER, "a"]
    assert "c" not in bounded


def test_a_handler_may_invent_codes_without_end(meter: Noting, observer: MetricsObserver) -> None:
    for number in range(2 * of.STATUSES_MAX):
        observer.on_call(ID, "s", 1.0)
        observer.on_call_end(ID, ServiceError(f"E{number}"), 0.5, 1.5)
    assert len({tuple(each)[2:] for each in meter.values}) == of.STATUSES_MAX + 1


def test_a_real_core_leaves_no_level_behind(meter: Noting, observer: MetricsObserver) -> None:
    rig = NodeRig("a", "b", observer=observer)
    rig.call("echo")
    rig["a"].reply(rig["a"].request())
    assert meter.left() == {}
    assert meter.sums[of.CLIENT_ATTEMPTS.name, "echo", "a", "answered", ""] == 1


def test_instruments_are_named_once_and_well() -> None:
    for names in ([each.name for each in of.INSTRUMENTS], [each.prometheus_name for each in of.INSTRUMENTS]):
        assert len(set(names)) == len(names)
    assert of.CLIENT_DURATION.prometheus_name == "rpc_client_call_duration_seconds"
    assert of.CLIENT_ATTEMPTS.prometheus_name == "braidmq_client_attempts_total"
    assert of.CLIENT_ATTEMPTS.prometheus_labels[:2] == ("rpc_method", "braidmq_broker")
    assert all(
        each.help.endswith(".") and bool(each.bounds) == (each.kind is Kind.HISTOGRAM) for each in of.INSTRUMENTS
    )
