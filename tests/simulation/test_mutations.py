"""The checkers are worth something: without what a guarantee hangs on, they find a violation."""

import pytest

from braidmq.core import client
from braidmq.core.broker import BrokerCore
from braidmq.core.dedup import ReplyCache
from braidmq.core.dispatch import Dispatcher
from braidmq.core.retry import RetryBudget
from braidmq.core.staleness import Staleness
from braidmq.core.suspicion import Suspicion
from braidmq.core.worker import WorkerCore
from braidmq.simulation.run import run
from braidmq.wire.envelope import PREFIX

SEEDS = 100


def without_dedup(patch):
    """A worker forgets at once what it has run."""
    patch.setattr(ReplyCache, "put", lambda self, key, reply, now: None)


def without_expiry(patch):
    """Nobody looks how long a request lay about, and a handler begins whatever the time is."""
    patch.setattr(Staleness, "age_s", lambda self, sent_ms, now: 0.0)
    patch.setattr(WorkerCore, "begin", lambda self, job, now: True)


def without_flag(patch):
    """A client does not say that a request may run a second time."""
    patch.setattr(client, "_DUPLICATE", 0)


def without_sender_check(patch):
    """A broker takes the owner of a route for the sender, whatever key has spoken."""
    on_frame = BrokerCore.on_frame

    def on_any_frame(self, route, principal, frame, now):
        session = self.sessions.get(route)
        on_frame(self, route, principal if session is None else session.account.principal, frame, now)

    patch.setattr(BrokerCore, "on_frame", on_any_frame)


def without_match(patch):
    """A broker takes an answer from anybody, not only from the worker that has the request."""
    on_answer = Dispatcher.on_answer

    def on_any_answer(self, session, command, message, now):
        tag = PREFIX.unpack_from(message)[7] if len(message) >= PREFIX.size else None
        workers = [each for service in self.services.values() for each in service.slots]
        owner = next((each for each in workers if tag in each.assigned), session)
        on_answer(self, owner, command, message, now)

    patch.setattr(Dispatcher, "on_answer", on_any_answer)


def without_suspicion(patch):
    """Who does not answer once is dead."""
    patch.setattr(Suspicion, "deadline", property(lambda self: 0.0))


def without_budget(patch):
    """Retries cost nothing."""
    patch.setattr(RetryBudget, "spend", lambda self, now: True)


@pytest.mark.parametrize(
    ("mutate", "rule"),
    [
        (without_dedup, "I3"),
        (without_expiry, "I5"),
        (without_flag, "I3"),
        (without_sender_check, "I2"),
        (without_match, "I2"),
        (without_suspicion, "false death"),
        (without_budget, "I4"),
    ],
)
def test_checkers_find_what_is_missing(monkeypatch, mutate, rule):
    mutate(monkeypatch)
    assert any(violation.rule == rule for seed in range(SEEDS) for violation in run(seed).violations)
