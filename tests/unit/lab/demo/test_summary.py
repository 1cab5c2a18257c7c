import pytest

from braidmq.lab.demo.plan import Plan
from braidmq.lab.demo.summary import summarize
from braidmq.lab.demo.tally import Snapshot
from braidmq.lab.demo.view import headline, summary_lines


def outcome(problems=(), **totals):
    snapshot = Snapshot(**({"requests": 10, "replies": 10} | totals))
    return summarize(Plan(), snapshot, duration_s=2.0, killed=3, restarted=3, problems=problems)


def test_only_replies_to_all_requests_are_a_success():
    assert outcome().ok
    assert "nothing lost" in headline(outcome())
    assert outcome().rate_per_s == 5.0


@pytest.mark.parametrize(
    ("totals", "lost", "errors"),
    [
        ({"requests": 0, "replies": 0}, 0, 0),
        ({"replies": 9, "late": 1}, 1, 0),
        ({"replies": 9, "wrong": 1}, 1, 0),
        ({"replies": 9, "untyped": 1}, 1, 0),
        ({"replies": 9, "errors": {"NoWorker": 1}}, 0, 1),
        ({"replies": 9}, 0, 0),
    ],
)
def test_anything_else_is_a_failure(totals, lost, errors):
    summary = outcome(**totals)
    assert (summary.ok, summary.lost, summary.errors) == (False, lost, errors)
    assert headline(summary).startswith("FAILED")


def test_a_request_that_is_open_at_the_end_is_lost():
    summary = outcome(replies=9, open=1)
    assert (summary.ok, summary.lost, summary.lost_because) == (False, 1, {"abandoned": 1})
    assert "1 abandoned" in headline(summary)


def test_a_process_that_ended_wrongly_is_a_failure_and_is_told():
    summary = outcome(problems=["b1 was ended by SIGSEGV"])
    assert not summary.ok
    assert any("SIGSEGV" in line for line in summary_lines(summary))


def test_the_summary_fits_into_eighty_columns():
    summary = outcome(requests=9_999_999, replies=9_999_998, late=1, held_back=5)
    assert max(map(len, summary_lines(summary))) <= 80
