import threading
import weakref
from queue import SimpleQueue

import pytest

from braidmq.host.threads import DaemonThreads, NoThreadError
from tests.support.scarcity import no_thread


@pytest.fixture
def name(request):
    """The name of a test's own threads: those of the test before may still be ending."""
    return request.node.name


@pytest.fixture
def threads(name):
    pool = DaemonThreads(2, name)
    yield pool
    pool.close()


class Results:
    """What functions have returned, in the order in which they did."""

    def __init__(self, threads):
        self._threads = threads
        self._returned = SimpleQueue()

    def submit(self, function):
        self._threads.submit(function, self._returned.put)

    def next(self):
        return self._returned.get(timeout=10)

    def of(self, function):
        self.submit(function)
        return self.next()


@pytest.fixture
def results(threads):
    return Results(threads)


def test_functions_run_side_by_side_up_to_the_limit(results, name):
    both, running = threading.Barrier(2), []

    def meet():
        running.append(threading.current_thread())
        both.wait(10)
        return len(running)

    for _ in range(4):
        results.submit(meet)
    assert len([results.next() for _ in range(4)]) == 4
    assert len(set(running)) == len(_of(name)) == 2


def test_a_thread_that_is_free_is_used_again(results, name):
    for number in range(10):
        assert results.of(lambda number=number: number) == number
    assert len(_of(name)) == 1


def test_a_thread_is_free_when_its_result_is_there(threads, name):
    """Who submits the next function as soon as it has the result of the last one needs no second thread."""
    ended, left = threading.Event(), iter(range(100))

    def go_on(_result):
        if next(left, None) is None:
            ended.set()
        else:
            threads.submit(lambda: None, go_on)

    go_on(None)
    assert ended.wait(10)
    assert len(_of(name)) == 1


def test_threads_do_not_keep_the_process(results, name):
    results.of(lambda: None)
    assert [thread.daemon for thread in _of(name)] == [True]


def test_threads_end_when_they_have_run_what_was_submitted(threads, results, name):
    release = threading.Event()
    for _ in range(3):
        results.submit(lambda: release.wait(10))
    threads.close()
    ending = _of(name)
    release.set()
    assert [results.next() for _ in range(3)] == [True] * 3
    for thread in ending:
        thread.join(10)
    assert not _of(name)


def test_what_no_thread_can_be_started_for_is_refused_and_never_runs(results, name):
    ran = []
    with no_thread(), pytest.raises(NoThreadError, match="can't start new thread"):
        results.submit(lambda: ran.append("refused"))
    assert not _of(name)
    assert results.of(lambda: ran.append("taken")) is None
    assert ran == ["taken"]


def test_a_thread_that_is_free_serves_while_no_other_can_be_started(results):
    release, begun = threading.Event(), threading.Event()
    assert results.of(lambda: 1) == 1

    def hold():
        begun.set()
        return release.wait(10)

    with no_thread():
        assert results.of(lambda: 2) == 2
        results.submit(hold)
        assert begun.wait(10)
        with pytest.raises(NoThreadError):
            results.submit(lambda: 3)
        release.set()
        assert results.next() is True
        assert results.of(lambda: 4) == 4


def test_a_thread_without_work_keeps_nothing_alive(results):
    class Payload:
        pass

    payload = Payload()
    gone = threading.Event()
    weakref.finalize(payload, gone.set)
    results.of(lambda payload=payload: payload)
    del payload
    assert gone.wait(10)


def _of(name):
    return [thread for thread in threading.enumerate() if thread.name.startswith(f"{name}-")]
