"""The checkers are worth something: without what a guarantee hangs on, they find a violation."""

import msgspec
import pytest

from braidmq.core import intake
from braidmq.core.broker import catalogue, queues
from braidmq.core.broker.broker import BrokerCore
from braidmq.core.broker.catalogue import Catalogue
from braidmq.core.broker.cooling import Cooling
from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.session_life import SessionLife
from braidmq.core.broker.transit import SessionState, Transit
from braidmq.core.client import attempts
from braidmq.core.client.attempts import Attempts
from braidmq.core.client.client import ClientCore
from braidmq.core.client.failover import Failover
from braidmq.core.client.path_health import PathHealth
from braidmq.core.client.places import Places as CallPlaces
from braidmq.core.client.retry import RetryBudget
from braidmq.core.client.verdicts import Verdicts
from braidmq.core.ids import Ids
from braidmq.core.links.links import Links
from braidmq.core.membership.membership import MembershipCore
from braidmq.core.membership.suspicion import Suspicion
from braidmq.core.node.node import NodeCore
from braidmq.core.registry.registry import RegistryCore
from braidmq.core.staleness import Staleness
from braidmq.core.worker.answers import Answers
from braidmq.core.worker.dedup import Keys, ReplyCache
from braidmq.core.worker.job import LocalService
from braidmq.core.worker.places import Places
from braidmq.core.worker.worker import WorkerCore
from braidmq.errors import ProtocolError
from braidmq.lab.simulation import edition
from braidmq.lab.simulation.broker import BrokerProcess
from braidmq.lab.simulation.edition import Edition
from braidmq.lab.simulation.routes import Routes
from braidmq.lab.simulation.run import run
from braidmq.members import Member
from braidmq.observer import JobEnd
from braidmq.wire.envelope import PREFIX, WORKING, Reason
from tests.support.nights import cases

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
    patch.setattr(attempts, "_DUPLICATE", 0)


def without_sender_check(patch):
    """A broker takes the owner of a route for the sender, whatever key has spoken."""
    on_frame = BrokerCore.on_frame

    def on_any_frame(self, route, principal, frame, now):
        session = self.sessions.get(route)
        on_frame(self, route, principal if session is None else session.usage.principal, frame, now)

    patch.setattr(BrokerCore, "on_frame", on_any_frame)


def without_match(patch):
    """A broker takes an answer from anybody, not only from the worker that has the request."""
    on_answer = Dispatcher.on_answer

    def on_any_answer(self, session, command, message, now):
        tag = PREFIX.unpack_from(message)[7] if len(message) >= PREFIX.size else None
        workers = [each for service in self.services.values() for each in service.offers]
        owner = next((each for each in workers if tag in each.assigned), session)
        on_answer(self, owner, command, message, now)

    patch.setattr(Dispatcher, "on_answer", on_any_answer)


def without_suspicion(patch):
    """Who does not answer once is dead."""
    patch.setattr(Suspicion, "deadline", property(lambda self: 0.0))


def without_budget(patch):
    """Retries cost nothing."""
    patch.setattr(RetryBudget, "spend", lambda self, now: True)


def with_more_attempts(patch):
    """A client makes two attempts more than it may."""
    request = ClientCore.request

    def request_more(self, service, payload, now, timeout_s, attempts, *more):  # noqa: PLR0917
        return request(self, service, payload, now, timeout_s, min(20, attempts + 2), *more)

    patch.setattr(ClientCore, "request", request_more)


def with_half_the_time(patch):
    """A client gives up when half of the time is over."""
    request = ClientCore.request

    def request_less(self, service, payload, now, timeout_s, *more):
        return request(self, service, payload, now, timeout_s / 2, *more)

    patch.setattr(ClientCore, "request", request_less)


def with_every_end_twice(patch):
    """A client tells the end of a call twice."""
    take_results = ClientCore.take_results
    patch.setattr(ClientCore, "take_results", lambda self: take_results(self) * 2)


def without_limits(patch):
    """A client takes any number of calls at once."""

    def enter(self, service, payload_bytes):
        self.take(service, payload_bytes)
        return True

    patch.setattr(CallPlaces, "enter", enter)


def without_working(patch):
    """A worker does not say that it is at it."""
    say = Answers.say

    def say_finally(self, command, *arguments):
        if command != WORKING:
            say(self, command, *arguments)

    patch.setattr(Answers, "say", say_finally)


def without_losses(patch):
    """A broker keeps the death of a worker to itself."""
    patch.setattr(Dispatcher, "_tell_of_loss", lambda self, exchange, now: self.queues.forget_client(exchange))


def without_rights(patch):
    """A broker does not look what its members may call."""
    patch.setattr(Member, "may_call", lambda self, service: True)


def without_waiting_for_what_is_under_way(patch):
    """A broker that is told to stop ends at once."""
    patch.setattr(BrokerCore, "idle", property(lambda self: self.dispatcher.draining))


def without_finishing_jobs(patch):
    """A node that is told to stop ends at once."""
    patch.setattr(NodeCore, "idle", property(lambda self: True))


def without_cancels(patch):
    """A client keeps to itself that a call was given up."""
    patch.setattr(Attempts, "call_back", lambda self, call, now, but=None: None)


def with_deaf_brokers(patch):
    """A broker does not care that a worker is silent, until it is dead."""
    set_state = SessionLife.set_state

    def set_other_state(self, session, state, now):
        if state is not SessionState.SUSPECT:
            set_state(self, session, state, now)

    patch.setattr(SessionLife, "set_state", set_other_state)


def without_refutation(patch):
    """A broker does not contradict who takes it for dead."""
    patch.setattr(MembershipCore, "_on_own_rumor", lambda self, sender, rumor, now: None)


def without_deaths(patch):
    """A suspicion never ends."""
    patch.setattr(Suspicion, "deadline", property(lambda self: float("inf")))


def with_workers_that_do_not_doubt(patch):
    """A worker begins what it has whenever it comes to it, and does not ask whether anybody counts on it."""

    def begin(self, job, now):
        if job.deadline <= now:
            self.on_late(job, now)
            return False
        job.begun, job.begun_at = True, now
        return True

    patch.setattr(WorkerCore, "begin", begin)


def with_brokers_that_do_not_doubt(patch):
    """A broker hands out what has waited, however long ago its client has counted on it, and withdraws nothing."""
    patch.setattr(Transit, "sure_until", property(lambda self: float("inf"), lambda self, value: None))
    patch.setattr(Attempts, "_supersede", lambda self, call, last, now: None)


def without_promises(patch):
    """A client counts on what waits, and sends it again at once when its broker is gone."""
    on_working = Attempts.on_working

    def on_working_without_promise(self, call, *arguments, current):
        held_until = call.held_until
        on_working(self, call, *arguments, current=current)
        call.held_until = held_until

    patch.setattr(Attempts, "on_working", on_working_without_promise)


def without_deadlines(patch):
    """A worker lets handlers run on that nobody waits for."""

    def watch(self, job, now):
        job.timer = self._timers.add(job, now + 60.0)

    patch.setattr(WorkerCore, "_on_overdue", watch)


def with_lost_places(patch):
    """A job that was over before it began keeps its place."""
    on_late = WorkerCore.on_late

    def on_late_and_forget(self, job, now):
        on_late(self, job, now)
        job.service.running += 1

    patch.setattr(WorkerCore, "on_late", on_late_and_forget)
    patch.setattr(WorkerCore, "validate_state", lambda self: None)


def with_all_failovers_paid(patch):
    """A client pays for what the deaths of brokers cost."""
    on_unknown = Failover.on_unknown

    def on_unknown_and_pay(self, call, now, *, free, pause_s=0.0):
        return on_unknown(self, call, now, free=False, pause_s=pause_s)

    patch.setattr(Failover, "on_unknown", on_unknown_and_pay)


def with_hasty_clients(patch):
    """A client that has stood still judges before it has read."""
    patch.setattr(ClientCore, "on_stall", lambda self, stalled_s, now: None)
    patch.setattr("braidmq.turn.node.LATE_S", float("inf"))


def with_withdrawals_that_forget(patch):
    """A worker that has withdrawn a service answers nothing of it that has not begun."""
    decline, give_back = WorkerCore._decline, Places.give_back

    def decline_others(self, request, delivery, reason, now):
        if reason != Reason.DRAINING or self.draining:
            decline(self, request, delivery, reason, now)

    def give_others_back(self, job, now):
        if job.service.withdrawn:
            self._jobs.end(job, JobEnd.GIVEN_BACK, now)
        else:
            give_back(self, job, now)

    patch.setattr(WorkerCore, "_decline", decline_others)
    patch.setattr(Places, "give_back", give_others_back)


def with_what_was_not_run_lost(patch):
    """A handler has done nothing, and its worker says that it may have."""
    patch.setattr(NodeCore, "decline", NodeCore.disown)


def with_what_is_unknown_not_run(patch):
    """A handler does not know what it has done, and its worker says that it has done nothing."""
    patch.setattr(NodeCore, "disown", NodeCore.decline)


def with_known_retries_unflagged(patch):
    """A client keeps to itself that a request repeats an earlier one."""
    request = ClientCore.request

    def request_unflagged(self, *given):
        unflagged = (*given[:-1], False)
        return request(self, *unflagged)

    patch.setattr(ClientCore, "request", request_unflagged)


nightly = (
    pytest.mark.nightly
)  # a long search, by a checker that tests/unit/lab/simulation/test_checkers.py sees fail, too


@cases(
    ("mutate", "scenario", "rule"),
    [
        pytest.param(with_workers_that_do_not_doubt, "saturated", "I3", marks=nightly),
        pytest.param(with_brokers_that_do_not_doubt, "saturated", "I3", marks=nightly),
        pytest.param(without_deadlines, "hanging", "deadlines", marks=nightly),
        pytest.param(with_lost_places, "nodes-die", "leak", marks=nightly),
        (with_all_failovers_paid, "long-jobs", "answers ready"),
        pytest.param(with_hasty_clients, "stalls", "own stalls", marks=nightly),
        (without_dedup, "swarm", "I3"),
        pytest.param(without_expiry, "swarm", "I5", marks=nightly),
        (without_flag, "swarm", "I3"),
        (without_sender_check, "intruder", "I2"),
        (without_match, "intruder", "I2"),
        pytest.param(without_suspicion, "swarm", "false death", marks=nightly),
        pytest.param(without_budget, "swarm", "I4", marks=nightly),
        pytest.param(with_more_attempts, "swarm", "I4", marks=nightly),
        (with_half_the_time, "swarm", "I1"),
        (with_every_end_twice, "swarm", "I1"),
        (without_limits, "swarm", "I8"),
        (without_working, "long-jobs", "needless"),
        pytest.param(without_losses, "workers-die", "losses", marks=nightly),
        (without_rights, "intruder", "rights"),
        (without_waiting_for_what_is_under_way, "roll", "flawless"),
        (without_finishing_jobs, "roll-nodes", "flawless"),
        pytest.param(without_cancels, "calm", "given up", marks=nightly),
        (with_deaf_brokers, "hang", "silent"),
        pytest.param(without_refutation, "swarm", "convergence", marks=nightly),
        pytest.param(without_deaths, "brokers-die", "convergence", marks=nightly),
        pytest.param(with_withdrawals_that_forget, "roll-services", "flawless", marks=nightly),
        (with_what_was_not_run_lost, "roll-services", "flawless"),
        (with_what_is_unknown_not_run, "services", "I3"),
        (with_known_retries_unflagged, "services", "I3"),
    ],
    one_in=4,
)
def test_checkers_find_what_is_missing(patch_cores, mutate, scenario, rule):
    mutate(patch_cores)
    assert any(violation.rule == rule for seed in range(SEEDS) for violation in run(seed, scenario).violations)


@nightly
def test_checkers_find_a_client_that_breaks_its_promise(patch_cores):
    """Three parties have to err at one moment: of some hundred seeds one sees it."""
    without_promises(patch_cores)
    seeds = range(640, 640 + SEEDS)
    assert any(violation.rule == "I3" for seed in seeds for violation in run(seed, "saturated").violations)


# -- what keeps somebody hostile from doing harm


def without_turns(patch):
    """Who sends most is read most: a frame is handled whole, and in the order of coming."""
    patch.setattr(intake, "PORTION_MESSAGES", 1_000_000)


def without_shares(patch):
    """One key may have all that is left of a budget of all."""
    patch.setattr(queues, "fits", lambda held, more, left: more <= left)


def with_services_by_any_word(patch):
    """Services that somebody has only named take the place of those that workers have."""
    patch.setattr(catalogue, "EXPECTED_MAX", 1_000_000)
    patch.setattr(Catalogue, "displaced", lambda self, name, usage: None)
    patch.setattr(Catalogue, "postpone", lambda self, session, name, credit: None)


def without_rerouted_refusals(patch):
    """What one worker refuses is refused."""
    patch.setattr(Dispatcher, "_take_back", lambda self, exchange, reason, now: False)


def without_cooling(patch):
    """Who refuses everything at once is always idle, and gets all."""
    patch.setattr(Cooling, "refuse", lambda self, offer, *, busy, now: False)


def without_outliers(patch):
    """A client goes on to use a broker that answers nothing as others do."""
    patch.setattr(PathHealth, "_eject", lambda self, link, why, now: None)


def without_second_opinions(patch):
    """One broker's word is enough for a call to be denied."""
    patch.setattr(Verdicts, "_is_last_word", lambda self, call, path, reason: True)


def with_the_least_limit_of_all(patch):
    """What one broker does not take is sent to none."""
    limits = property(lambda self: min(link.payload_bytes_max for link in self.links.values() if link.open))
    patch.setattr(Links, "payload_bytes_max", limits)


def without_grants(patch):
    """A worker takes from any broker what it sends."""
    patch.setattr(LocalService, "exceeds_grant", lambda self, link: False)


def with_a_memory_of_ids_alone(patch):
    """A worker answers from its memory whoever says the id."""
    patch.setattr(Keys, "key_of", lambda self, request: request.sender + request.id)


def with_ids_that_count(patch):
    """Who has seen one id knows the next ones."""

    def following(self):
        self._number += 1
        return b"\1" * 8 + self._number.to_bytes(8)

    patch.setattr(Ids, "next", following)


def with_errors_of_its_own(patch):
    """A broker meets an error when somebody withdraws what it does not know."""

    def on_cancel(self, session, message, now):
        session.requests[PREFIX.unpack_from(message)[7]]

    patch.setattr(Dispatcher, "on_cancel", on_cancel)


@cases(
    ("mutate", "scenario", "rule", "first"),
    [
        (without_turns, "hostile-client", "fair share", 7),
        pytest.param(without_shares, "hostile-client", "fair share", 50, marks=nightly),
        pytest.param(with_services_by_any_word, "hostile-client", "fair share", 3, marks=nightly),
        (without_rerouted_refusals, "hostile-worker", "fair share", 28),
        (without_cooling, "hostile-worker", "fair share", 28),
        pytest.param(without_outliers, "hostile-broker", "fair share", 30, marks=nightly),
        (without_second_opinions, "hostile-broker", "fair share", 12),
        (with_the_least_limit_of_all, "hostile-broker", "fair share", 6),
        (without_grants, "hostile-broker", "I6", 43),
        pytest.param(with_a_memory_of_ids_alone, "hostile-broker", "I2", 1, marks=nightly),
        (with_ids_that_count, "hostile-broker", "foreseen", 1),
        (with_errors_of_its_own, "hostile-client", "I8", 11),
    ],
    one_in=3,
)
def test_checkers_find_what_an_enemy_could_do_otherwise(patch_cores, mutate, scenario, rule, first):
    """An enemy has few habits in each seed: the search begins where one has those that matter."""
    mutate(patch_cores)
    seeds = range(first, first + SEEDS)
    assert any(violation.rule == rule for seed in seeds for violation in run(seed, scenario).violations)


# -- what keeps the registry true while it moves


def with_whatever_comes_put_in_force(patch):
    """A broker does not look whether a registry is newer than its own, as it was said to be."""

    def check_on(self, now):
        source = next((each for each in self._busy if each.checking is not None), None)
        if source is None:
            return
        try:
            next(source.checking)
        except StopIteration as end:
            self._end_transfers()
            source.on_success()
            self._ledger.adopt(end.value, source.name, now)
        except ProtocolError as error:
            self._fail(source, str(error), now)

    patch.setattr(RegistryCore, "_check_on", check_on)


def without_catching_up(patch):
    """A broker does not care that another one has a newer registry."""
    on_version = RegistryCore.on_version

    def on_no_newer_version(self, key, name, told, now):
        if isinstance(key, str):
            told = msgspec.structs.replace(told, version=min(told.version, self._ledger.version))
        on_version(self, key, name, told, now)

    patch.setattr(RegistryCore, "on_version", on_no_newer_version)


def without_cutting_off(patch):
    """A broker looks nobody up anew whose session goes on."""
    patch.setattr(SessionLife, "on_rights", lambda self, session, now: None)
    patch.setattr(Routes, "review", lambda self: None)
    patch.setattr(SessionLife, "validate_state", lambda self, unreviewed: None)


def without_narrowed_rights(patch):
    """A broker cuts off whom it does not know any more, and leaves the others all that they could."""
    on_rights = SessionLife.on_rights

    def on_other_rights(self, session, now):
        if self._directory.member(session.usage.principal) is None:
            on_rights(self, session, now)

    patch.setattr(SessionLife, "on_rights", on_other_rights)


def without_a_check_of_signatures(patch):
    """A registry is believed whoever has made it."""
    patch.setattr(edition, "check_signature", lambda signature, payload: None)


def with_differences_from_any_base(patch):
    """A difference is handed out from where it does not reach back, and nobody checks what comes of it."""

    def since(self, version):
        if not version:
            return 0, self.blob
        newer = tuple(each for each in self.payload.entries if each.serial > self.version - 1)
        return version, self.digest + msgspec.msgpack.encode(msgspec.structs.replace(self.payload, entries=newer))

    patch.setattr(Edition, "since", since)
    patch.setattr(edition, "check_signature", lambda signature, payload: None)


def without_state(patch):
    """A broker remembers nothing of what it has seen, but for what is in its join file."""
    begin = BrokerProcess._begin

    def begin_anew(self):
        self.state = None
        begin(self)

    patch.setattr(BrokerProcess, "_begin", begin_anew)


def without_waiting_for_the_others(patch):
    """A broker that starts lets in whoever comes."""
    patch.setattr(RegistryCore, "ready", property(lambda self: True, lambda self, value: None))


@cases(
    ("mutate", "rule"),
    [
        pytest.param(with_whatever_comes_put_in_force, "registry", marks=nightly),
        (without_catching_up, "registry"),
        (without_cutting_off, "removed"),
        pytest.param(without_narrowed_rights, "removed", marks=nightly),
        (without_a_check_of_signatures, "registry"),
        pytest.param(with_differences_from_any_base, "registry", marks=nightly),
        (without_state, "registry"),
        (without_waiting_for_the_others, "caught up"),
    ],
    one_in=3,
)
def test_checkers_find_a_registry_that_is_not_the_one_in_force(patch_cores, mutate, rule):
    mutate(patch_cores)
    assert any(violation.rule == rule for seed in range(SEEDS) for violation in run(seed, "registry").violations)
