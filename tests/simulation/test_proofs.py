"""Nets whose nodes ask for proofs, or some of whose brokers lie."""

from dataclasses import replace

import pytest

from braidmq.core.broker.dispatch import Dispatcher
from braidmq.lab.simulation import run as runs
from braidmq.lab.simulation.plan import SCENARIOS, plan_of
from braidmq.wire.envelope import REPLY, decode, encode
from tests.support.examples import TIMES
from tests.support.nights import nightly_but

EACH = 1 * TIMES

ON_A_COMMIT = ("swarm", "hostile-broker", "bridge")


def careful(seed, scenario):
    plan = plan_of(seed, scenario)
    return replace(plan, settings=replace(plan.settings, authenticate_replies="always"))


@pytest.fixture
def proving(monkeypatch):
    """Let all nodes of all nets ask for proofs."""
    monkeypatch.setattr(runs, "plan_of", careful)


@pytest.fixture
def lying(patch_cores):
    """Let the first broker of each net exchange the replies of two calls now and then."""
    on_answer, kept = Dispatcher.on_answer, {}

    def lie(self, session, command, message, now):
        if self._outgoing.name == b"b0" and command == REPLY:
            envelope, other = decode(message), kept.get(session.name)
            kept[session.name] = decode(message)
            if other is not None:
                envelope.payload, envelope.code = other.payload, other.code
                envelope.extension = other.extension
                message = encode(envelope)
        on_answer(self, session, command, message, now)

    patch_cores.setattr(Dispatcher, "on_answer", lie)


def violations(scenario, seeds=EACH):
    return [violation for seed in range(seeds) for violation in runs.run(seed, scenario).violations]


@pytest.mark.parametrize("scenario", nightly_but(ON_A_COMMIT, SCENARIOS))
def test_nets_that_ask_for_proofs_are_sound(scenario, proving):
    assert violations(scenario) == []


def wrong(seeds):
    found = [runs.run(seed, "swarm") for seed in seeds]
    return [each for one in found for each in one.violations if "was answered with" in each.text]


@pytest.mark.usefixtures("lying")
@pytest.mark.nightly
def test_a_broker_that_exchanges_replies_deceives_who_asks_for_no_proofs():
    assert wrong(range(4))


@pytest.mark.nightly
@pytest.mark.usefixtures("lying", "proving")
def test_a_broker_that_exchanges_replies_deceives_nobody_who_asks_for_proofs():
    assert wrong(range(4)) == []
