"""What follows an attempt without a reply: the next one, a wait for it, or the end."""

from collections.abc import Iterator
from typing import Any

import pytest

from braidmq.core.client.call import Call, Stage
from braidmq.core.client.failover import FAILOVER_EACH_S
from braidmq.errors import AttemptsExhausted, Overloaded
from braidmq.settings import Settings
from braidmq.wire.envelope import LOST, REJECT, Envelope, Reason
from tests.support.rigs.client_parts import ClientParts
from tests.support.rigs.node_rig import answer_to

SETTINGS = Settings(exchange_timeout_s=2.0, failover_spread_s=0.1, retry_budget_max=1.0, retry_budget_ratio=0.0)


@pytest.fixture
def parts(make: Any) -> Iterator[ClientParts]:
    parts = ClientParts(make("a", "b", settings=SETTINGS), SETTINGS)
    yield parts
    parts.clear()


def under_way(parts: ClientParts, **options: Any) -> tuple[Call, Envelope]:
    """A call that was sent, and its request."""
    call = parts.call(**options)
    assert parts.sending.send(call, parts.now) is None
    ((_, request),) = parts.sent()
    return call, request


def rejected(parts: ClientParts, call: Call, request: Envelope) -> Any:
    answer = answer_to(request, REJECT, code=Reason.BUSY)
    return parts.failover.on_rejected(call, answer, parts.now)


class TestRefusal:
    def test_it_goes_to_who_has_not_refused_it_and_has_no_flag(self, parts: ClientParts) -> None:
        call, request = under_way(parts)
        first = call.path
        assert rejected(parts, call, request) is None
        assert call.path is not None
        assert call.path is not first
        assert not call.flagged

    def test_when_all_have_it_waits_before_the_next_round(self, parts: ClientParts) -> None:
        parts.rig["b"].crash()
        call, request = under_way(parts)
        assert rejected(parts, call, request) is None
        assert (call.stage, call.round, call.path) == (Stage.PAUSED, 1, None)

    def test_without_an_attempt_left_it_ends(self, parts: ClientParts) -> None:
        call, request = under_way(parts, attempts_max=1)
        assert isinstance(rejected(parts, call, request), Overloaded)

    def test_without_a_token_left_it_ends_and_its_error_says_so(self, parts: ClientParts) -> None:
        assert parts.budget.spend(parts.now)
        call, request = under_way(parts)
        assert "the retry budget is spent" in str(rejected(parts, call, request))


class TestDoubt:
    def test_what_follows_is_flagged_and_the_first_time_costs_nothing(self, parts: ClientParts) -> None:
        call, _ = under_way(parts)
        parts.rig.now = call.held_until
        assert parts.failover.on_silence(call, parts.now) is None
        assert (call.flagged, call.retry_count, call.stage) == (True, 1, Stage.SENT)
        assert parts.budget.spend(parts.now), "its token is still there"

    def test_the_next_time_it_owes_where_there_is_no_token(self, parts: ClientParts) -> None:
        call, _ = under_way(parts, timeout_s=60.0)
        for _ in range(2):
            parts.rig.now = max(parts.now, call.held_until)
            assert parts.failover.on_silence(call, parts.now) is None
            parts.budget.spend(parts.now)
        assert (call.stage, call.owes) == (Stage.PAUSED, True)
        assert parts.failover.on_paused(call, parts.now) is None
        assert (call.stage, call.owes) == (Stage.PAUSED, True)
        parts.rig.now += 10.0
        assert parts.failover.on_paused(call, parts.now) is None
        assert (call.stage, call.owes) == (Stage.SENT, False)

    def test_attempt_that_may_still_run_holds_the_next_one_back(self, parts: ClientParts) -> None:
        call, _ = under_way(parts)
        assert parts.failover.on_mute(call, parts.now) is None
        assert call.stage is Stage.PAUSED

    def test_without_an_attempt_left_it_listens_as_long_as_an_answer_may_come(self, parts: ClientParts) -> None:
        call, _ = under_way(parts, attempts_max=1)
        path = call.path
        assert path is not None
        assert parts.failover.on_silence(call, parts.now) is None
        assert call.stage is Stage.LISTENING
        parts.rig[path.name].crash()
        assert isinstance(parts.failover.listen(call), AttemptsExhausted)

    def test_loss_is_final_for_its_attempt(self, parts: ClientParts) -> None:
        call, request = under_way(parts, attempts_max=1)
        path = call.path
        assert path is not None
        error = parts.failover.on_lost(call, path, answer_to(request, LOST), parts.now)
        assert isinstance(error, AttemptsExhausted)
        assert not call.earlier


class TestDeath:
    def test_what_has_never_left_goes_on_at_once_unflagged(self, parts: ClientParts) -> None:
        call, _ = under_way(parts)
        path = call.path
        assert path is not None
        call.unsent = True
        assert parts.failover.on_path_died(call, path, 0.1, parts.now) is None
        assert (call.flagged, call.sends, call.stage) == (False, 1, Stage.SENT)

    def test_what_has_left_moves_on_within_the_spread(self, parts: ClientParts) -> None:
        call, _ = under_way(parts)
        path = call.path
        assert path is not None
        call.running = True  # nothing else holds it back
        assert parts.failover.on_path_died(call, path, 0.1, parts.now) is None
        assert (call.flagged, call.stage) == (True, Stage.PAUSED)
        due = parts.waits.timers.next_deadline()
        assert due is not None
        assert due <= parts.now + 0.1 + 0.011

    def test_spread_grows_with_the_calls_up_to_its_setting(self, parts: ClientParts) -> None:
        spreads = [parts.failover.spread_s(calls) for calls in (0, 10, 1_000_000)]
        assert spreads == [0.0, 10 * FAILOVER_EACH_S, 0.1]
