import json

import pytest

from braidmq.cli.exit_codes import ExitCode
from braidmq.cli.trial.tally import ERRORS_MAX, OTHER_ERRORS, OTHER_PATHS, PATHS_MAX, Path, Tally
from braidmq.errors import AttemptsExhausted, DeadlineExceeded, NoWorker, ServiceError
from tests.support.trials import reply


def told(*ends):
    tally = Tally()
    for end in ends:
        tally.sent += 1
        if isinstance(end, Exception):
            tally.on_error(end)
        else:
            tally.on_reply(end, 0.002)
    return tally


def test_replies_are_counted_by_their_way():
    tally = told(reply(), reply("b2"), reply("b2", "w2", retries=2), reply())
    assert {path: each.total for path, each in tally.paths.items()} == {
        Path("b1", "w1"): 2,
        Path("b2", "w1"): 1,
        Path("b2", "w2"): 1,
    }
    assert (tally.answered, tally.retries, tally.possible_duplicates, tally.latency.total) == (4, 2, 1, 4)


def test_what_has_not_ended_is_under_way():
    tally = told(reply(), NoWorker("nobody"))
    tally.sent += 3
    assert (tally.answered, tally.failed, tally.under_way) == (1, 1, 3)


def test_errors_are_counted_by_their_type_and_those_of_the_service_by_their_code():
    tally = told(NoWorker("a"), NoWorker("b"), ServiceError("OUT", "x"), ServiceError("OUT", "y"), ServiceError("IN"))
    assert tally.errors == {"NoWorker": 2, "ServiceError OUT": 2, "ServiceError IN": 1}


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ([reply()], ExitCode.OK),
        ([], ExitCode.INTERRUPTED),
        ([reply(), ServiceError("NO")], ExitCode.SERVICE_ERROR),
        ([NoWorker("a"), DeadlineExceeded("b"), DeadlineExceeded("c")], ExitCode.DEADLINE),
        ([ServiceError("A"), ServiceError("B"), AttemptsExhausted("c")], ExitCode.SERVICE_ERROR),
        ([reply(), reply(), AttemptsExhausted("c")], ExitCode.LOST),
    ],
)
def test_it_is_well_only_if_all_were_answered_and_else_the_most_frequent_error_decides(ends, code):
    assert told(*ends).exit_code() is code


def test_memory_is_bounded_whatever_peers_are_called_and_services_say():
    tally = told(
        *(reply(f"b{number}", "w") for number in range(PATHS_MAX + 5)),
        *(ServiceError(f"E{number}") for number in range(ERRORS_MAX + 7)),
    )
    assert len(tally.paths) == PATHS_MAX + 1
    assert tally.paths[OTHER_PATHS].total == 5
    assert len(tally.errors) == ERRORS_MAX + 1
    assert tally.errors[OTHER_ERRORS] == 7
    assert (tally.answered, tally.failed) == (PATHS_MAX + 5, ERRORS_MAX + 7)


def test_json_has_all_of_it():
    shown = json.loads(json.dumps(told(reply(), NoWorker("x")).as_dict()))
    percentiles = {"min": 2.0, "p50": 2.0, "p90": 2.0, "p99": 2.0, "p99_9": 2.0, "max": 2.0}
    assert shown == {
        "sent": 2,
        "answered": 1,
        "failed": 1,
        "under_way": 0,
        "errors": {"NoWorker": 1},
        "retries": 0,
        "possible_duplicates": 0,
        "latency_ms": percentiles,
        "paths": [{"broker": "b1", "worker": "w1", "answered": 1, "latency_ms": percentiles}],
    }
