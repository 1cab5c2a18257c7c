"""The checkers of foreign calls are worth something: without what a bridge is careful about, they find a violation."""

import pytest

from braidmq.bridges.majordomo.clients import Clients
from braidmq.bridges.majordomo.unanswered import Unanswered
from braidmq.bridges.majordomo.workers import Workers as MajordomoWorkers
from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.core import MalamuteCore
from braidmq.bridges.malamute.post import Post
from braidmq.bridges.malamute.requests import Requests
from braidmq.bridges.malamute.sessions import Sessions
from braidmq.bridges.malamute.workers import Workers as MalamuteWorkers
from braidmq.bridges.port import Job, Unfinished
from braidmq.lab.simulation.run import run
from braidmq.messages import Reply
from tests.support.nights import cases

SEEDS = 40


def without_marks_of_copies(patch):
    """A copy of an unanswered request passes for a new one."""
    patch.setattr(Unanswered, "has", lambda *_: False)


def with_what_is_unknown_not_run(patch):
    """What a worker had that is gone goes back as if nobody had run it."""
    finish = MajordomoWorkers._finish

    def finish_as_not_run(self, worker, outcome):
        finish(self, worker, Unfinished.NOT_RUN if outcome is Unfinished.UNKNOWN else outcome)

    patch.setattr(MajordomoWorkers, "_finish", finish_as_not_run)


def with_workers_that_rest_too_early(patch):
    """A worker whose request nobody waits for any more gets the next one, although it runs the first."""
    on_dropped = MajordomoWorkers.on_dropped

    def on_dropped_and_rest(self, number):
        holder = self._jobs.get(number)
        on_dropped(self, number)
        for worker in self._workers.values():
            if worker is holder:
                worker.rest()
                self._rest(worker)

    patch.setattr(MajordomoWorkers, "on_dropped", on_dropped_and_rest)


def with_replies_twice(patch):
    """A client of Majordomo gets its reply twice."""
    send = Clients._send

    def send_twice(self, waiting):
        send(self, waiting)
        if waiting.reply:
            self._outputs.append(self._outputs[-1])

    patch.setattr(Clients, "_send", send_twice)


def with_silent_replies(patch):
    """A client of Majordomo is left alone with what has come of its request."""
    on_call_end = Clients.on_call_end

    def on_call_end_in_silence(self, number, end, now):
        if isinstance(end, Reply) and number % 7 == 0:
            self._answer(number, None)
        else:
            on_call_end(self, number, end, now)

    patch.setattr(Clients, "on_call_end", on_call_end_in_silence)


def with_duplicates_delivered(patch):
    """Workers get what may have been run before, although they were not to."""

    def on_any_job(self, job):
        on_job(self, Job(job.number, job.member, _unflagged(job.request)))

    on_job = MajordomoWorkers.on_job
    patch.setattr(MajordomoWorkers, "on_job", on_any_job)


def _unflagged(request):
    told = {name: getattr(request, name) for name in request.__struct_fields__}
    return type(request)(**{**told, "possible_duplicate": False})


def with_mail_twice(patch):
    """A client of Malamute gets its answer twice."""
    answer = Post.answer

    def answer_twice(self, session, letter, now):
        answer(self, session, letter, now)
        answer(self, session, letter, now)

    patch.setattr(Post, "answer", answer_twice)


def without_what_was_held(patch):
    """What a client has sent before it opened is lost."""
    release = Sessions.release

    def release_nothing(self, session):
        release(self, session)
        return []

    patch.setattr(Sessions, "release", release_nothing)


def with_an_error_for_an_open(patch):
    """Who opens anew is told an error first."""
    on_open = MalamuteCore._on_open

    def on_open_in_anger(self, session, message, now):
        self._sessions.send(session, wire.error("once more"), now)
        on_open(self, session, message, now)

    patch.setattr(MalamuteCore, "_on_open", on_open_in_anger)


def with_silence_for_errors(patch):
    """A client that is to hear of errors hears nothing."""
    refuse = Requests._refuse

    def refuse_in_silence(self, asked, error, now):
        if type(error).__name__ == "DeadlineExceeded":
            self._counters["errors"] += 1
        else:
            refuse(self, asked, error, now)

    patch.setattr(Requests, "_refuse", refuse_in_silence)


def with_lost_deliveries_not_run(patch):
    """What a program had that is gone goes back as if nobody had run it."""
    finish = MalamuteWorkers._finish

    def finish_as_not_run(self, task, outcome):
        finish(self, task, Unfinished.NOT_RUN if outcome is Unfinished.UNKNOWN else outcome)

    patch.setattr(MalamuteWorkers, "_finish", finish_as_not_run)


nightly = pytest.mark.nightly  # a checker that others see fail as well, or a long search


@cases(
    ("mutate", "rule", "first"),
    [
        (without_marks_of_copies, "foreign runs", 8),
        pytest.param(with_what_is_unknown_not_run, "foreign runs", 44, marks=nightly),
        pytest.param(with_workers_that_rest_too_early, "harm", 10, marks=nightly),
        (with_replies_twice, "harm", 7),
        pytest.param(with_silent_replies, "foreign", 25, marks=nightly),
        pytest.param(with_duplicates_delivered, "foreign runs", 10, marks=nightly),
        (with_mail_twice, "foreign", 0),
        pytest.param(without_what_was_held, "foreign", 3, marks=nightly),
        (with_an_error_for_an_open, "harm", 0),
        pytest.param(with_silence_for_errors, "foreign", 11, marks=nightly),
        pytest.param(with_lost_deliveries_not_run, "foreign runs", 5, marks=nightly),
    ],
    one_in=2,
)
def test_checkers_find_what_a_bridge_could_do_to_foreign_programs(patch_cores, mutate, rule, first):
    mutate(patch_cores)
    seeds = range(first, first + SEEDS)
    assert any(violation.rule == rule for seed in seeds for violation in run(seed, "bridge").violations)
