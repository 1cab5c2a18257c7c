from typing import Any

import msgspec
import pytest

from braidmq.lab.demo.tally import GRACE_S, RECENT_MAX, Snapshot, Stage, Tally, merged
from braidmq.messages import Reply

TIMEOUT = 5.0


def reply(payload=b"right", **changes):
    fields: dict[str, Any] = {
        "sender": "w1", "receiver": "c1", "service": "demo.stamp", "id": b"r" * 16, "original_id": b"q" * 16,
        "possible_duplicate": False, "retry_count": 0, "broker": "b1",
    }  # fmt: skip
    return Reply(payload, **(fields | changes))


def issue(tally, at=0.0, expected=b"right"):
    return tally.issue(expected, due_at=at, deadline=at + TIMEOUT)


@pytest.fixture
def tally():
    return Tally("c1")


def test_a_right_reply_in_time_is_a_reply(tally):
    tally.on_reply(issue(tally), reply(), 0.004)
    totals = tally.snapshot(Stage.RUNNING, 1.0)
    assert (totals.requests, totals.replies, totals.lost, totals.failed, totals.open) == (1, 1, 0, 0, 0)
    assert totals.brokers == {"b1": 1}
    assert totals.served_at == {"b1": 0.004}
    assert totals.latency.max_ms == pytest.approx(4.0)
    assert not totals.retried.total


@pytest.mark.parametrize("payload", [b"", b"wrong", b"righ", b"right!", b"Right"])
def test_a_wrong_payload_is_lost(tally, payload):
    tally.on_reply(issue(tally), reply(payload), 0.004)
    assert (tally.totals.lost, tally.totals.wrong, tally.totals.replies) == (1, 1, 0)


def test_the_reply_to_another_request_is_lost(tally):
    first, second = issue(tally, expected=b"one"), issue(tally, expected=b"two")
    tally.on_reply(first, reply(b"two"), 0.1)
    tally.on_reply(second, reply(b"one"), 0.1)
    assert (tally.totals.lost, tally.totals.replies) == (2, 0)


def test_a_reply_for_another_client_is_lost(tally):
    tally.on_reply(issue(tally), reply(receiver="c2"), 0.1)
    assert (tally.totals.lost, tally.totals.replies) == (1, 0)


def test_a_reply_within_the_grace_counts_and_one_beyond_it_is_lost(tally):
    tally.on_reply(issue(tally), reply(), TIMEOUT + GRACE_S)
    assert (tally.totals.replies, tally.totals.lost) == (1, 0)
    tally.on_reply(issue(tally), reply(), TIMEOUT + GRACE_S + 0.001)
    assert (tally.totals.replies, tally.totals.lost, tally.totals.late) == (1, 1, 1)


def test_a_typed_error_in_time_is_an_error_and_a_late_one_is_lost(tally):
    tally.on_error(issue(tally), "DeadlineExceeded", TIMEOUT + 0.01)
    assert (tally.totals.errors, tally.totals.lost) == ({"DeadlineExceeded": 1}, 0)
    tally.on_error(issue(tally), "DeadlineExceeded", TIMEOUT + GRACE_S + 0.01)
    assert (tally.totals.failed, tally.totals.lost) == (1, 1)


def test_an_end_without_a_type_is_lost(tally):
    tally.on_untyped(issue(tally))
    assert (tally.totals.lost, tally.totals.untyped, tally.open) == (1, 1, 0)


def test_what_never_ends_is_lost_once_its_time_is_over(tally):
    number = issue(tally)
    tally.expire(TIMEOUT + GRACE_S)
    assert (tally.open, tally.totals.lost) == (1, 0)
    tally.expire(TIMEOUT + GRACE_S + 0.001)
    assert (tally.open, tally.totals.lost) == (0, 1)
    tally.on_reply(number, reply(), TIMEOUT + GRACE_S + 0.1)
    tally.on_error(number, "NoBroker", TIMEOUT + GRACE_S + 0.1)
    assert (tally.totals.lost, tally.totals.replies, tally.totals.failed) == (1, 0, 0)


def test_a_request_ends_once(tally):
    number = issue(tally)
    tally.on_reply(number, reply(), 0.1)
    tally.on_reply(number, reply(), 0.2)
    tally.on_error(number, "NoBroker", 0.3)
    tally.on_untyped(number)
    assert (tally.totals.requests, tally.totals.replies, tally.totals.failed, tally.totals.lost) == (1, 1, 0, 0)


def test_every_request_is_in_exactly_one_place(tally):
    tally.on_reply(issue(tally), reply(), 0.1)
    tally.on_reply(issue(tally), reply(b"wrong"), 0.1)
    tally.on_error(issue(tally), "NoWorker", 0.1)
    tally.on_untyped(issue(tally))
    issue(tally)
    totals = tally.snapshot(Stage.RUNNING, 0.2)
    assert totals.requests == totals.replies + totals.failed + totals.lost + totals.open == 5


def test_retries_and_possible_duplicates_are_counted(tally):
    tally.on_reply(issue(tally), reply(retry_count=2, possible_duplicate=True), 0.05)
    tally.on_reply(issue(tally), reply(), 0.01)
    assert (tally.totals.retries, tally.totals.possible_duplicates) == (2, 1)
    assert tally.totals.retried.total == 1
    assert tally.totals.retried.max_ms == pytest.approx(50.0)


def test_a_kill_counts_what_was_under_way_whether_it_ended_before_the_news_or_after(tally):
    tally.on_reply(issue(tally, at=0.0), reply(), 0.9)  # before the kill
    ended = issue(tally, at=0.95)
    tally.on_reply(ended, reply(), 1.02)
    open_ = issue(tally, at=0.99)
    later = issue(tally, at=1.005)
    tally.on_kill(1.0)
    tally.on_reply(open_, reply(), 1.25)
    tally.on_reply(later, reply(), 1.26)
    assert tally.totals.at_kill.total == 2
    assert tally.totals.at_kill.max_ms == pytest.approx(260.0)


def test_what_is_kept_of_ended_requests_is_bounded(tally):
    for _ in range(RECENT_MAX + 10):
        tally.on_reply(issue(tally), reply(), 0.001)
    assert len(tally._recent) == RECENT_MAX
    assert tally.open == 0


def test_snapshots_of_several_clients_add_up():
    parts = []
    for client, broker in (("c1", "b1"), ("c2", "b2")):
        tally = Tally(client)
        tally.on_reply(issue(tally), reply(receiver=client, broker=broker), 0.01)
        tally.on_reply(issue(tally), reply(receiver=client, broker="b3"), 0.02)
        tally.on_error(issue(tally), "NoWorker", 0.1)
        tally.on_reply(issue(tally), reply(b"wrong"), 0.1)
        tally.hold_back()
        issue(tally)
        line = msgspec.json.encode(tally.snapshot(Stage.RUNNING, 2.0))
        parts.append(msgspec.json.decode(line, type=Snapshot))
    whole = merged(parts)
    assert (whole.requests, whole.replies, whole.failed, whole.lost, whole.open) == (10, 4, 2, 2, 2)
    assert whole.errors == {"NoWorker": 2}
    assert whole.brokers == {"b1": 1, "b2": 1, "b3": 2}
    assert whole.held_back == 2
    assert whole.latency.total == 4
    assert whole.latency.max_ms == pytest.approx(20.0)
