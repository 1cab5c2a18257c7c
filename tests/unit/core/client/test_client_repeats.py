"""Calls that repeat an earlier request, by their callers' word."""

from typing import Any

import pytest

from braidmq.core.links.link import Failure
from braidmq.errors import AttemptsExhausted, ConfigError, NotRegistered, NoWorker
from braidmq.wire.envelope import Reason
from tests.support.rigs.calls import error_of, flagged, reply_of

ID = bytes(range(16))


class TestRepeat:
    def test_its_first_attempt_is_flagged_and_counts_as_one_more(self, make: Any) -> None:
        rig = make("a")
        assert rig.call(id_=ID, possible_duplicate=True) == ID
        request = rig["a"].request()
        assert (request.id, flagged(request), request.retry_count) == (ID, True, 1)
        rig["a"].reply(request)
        reply = reply_of(rig, ID)
        assert (reply.original_id, reply.possible_duplicate, reply.retry_count) == (ID, True, 1)

    def test_all_its_attempts_have_its_id_and_may_be_as_many_as_of_any_call(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call(id_=ID, possible_duplicate=True, attempts=2, timeout_s=5.0)
        for count in (1, 2):
            rig.advance(1.0)
            broker, request = rig.attempt()
            assert (request.id, request.retry_count) == (ID, count)
            broker.lose(request)
        error_of(rig, ID, AttemptsExhausted, attempts=2, maybe_executed=True)

    def test_an_id_alone_flags_nothing(self, make: Any) -> None:
        rig = make("a")
        rig.call(id_=ID)
        request = rig["a"].request()
        assert (request.id, flagged(request), request.retry_count) == (ID, False, 0)

    def test_it_may_be_said_of_a_new_id(self, make: Any) -> None:
        rig = make("a")
        assert rig.call(possible_duplicate=True) != rig.call(possible_duplicate=True)
        assert all(flagged(request) for request in rig["a"].requests())

    def test_that_no_worker_is_there_is_told_as_it_is(self, make: Any) -> None:
        rig = make("a")
        rig.call(id_=ID, possible_duplicate=True, attempts=1, wait=False)
        rig["a"].reject(rig["a"].request(), Reason.NO_WORKER)
        error_of(rig, ID, NoWorker, attempts=1, maybe_executed=True)

    def test_that_its_key_is_refused_is_told_as_it_is(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].refusal = Failure.NOT_REGISTERED
        rig.call(id_=ID, possible_duplicate=True)
        rig.advance(0.1)
        assert isinstance(rig.results[ID], NotRegistered)

    def test_an_id_is_used_once_at_a_time(self, make: Any) -> None:
        rig = make("a")
        rig.call(id_=ID)
        with pytest.raises(ConfigError, match=f"a call with the id {ID.hex()} is under way"):
            rig.call(id_=ID, possible_duplicate=True)
        rig["a"].reply(rig["a"].request())
        assert reply_of(rig, ID).original_id == ID
        del rig.results[ID]
        rig.call(id_=ID, possible_duplicate=True)
        assert rig["a"].request().id == ID


@pytest.mark.parametrize("id_", [b"", bytes(15), bytes(17), b"\x80" + bytes(15), "0" * 16, bytearray(16), 7])
def test_what_cannot_be_an_id_is_refused(make: Any, id_: Any) -> None:
    rig = make("a")
    with pytest.raises(ConfigError, match="id must be 16 bytes whose first bit is 0"):
        rig.call(id_=id_)
    assert not len(rig.client)


@pytest.mark.parametrize("said", [None, 1, "yes"])
def test_a_duplicate_is_one_or_not(make: Any, said: Any) -> None:
    with pytest.raises(ConfigError, match="possible_duplicate must be True or False"):
        make("a").call(possible_duplicate=said)
