import threading

import pytest

from braidmq.threads import DaemonThreads


@pytest.fixture
def name(request):
    """The name of a test's own threads: those of the test before may still be ending."""
    return request.node.name


@pytest.fixture
def threads(name):
    pool = DaemonThreads(2, name)
    yield pool
    pool.close()


def test_functions_run_side_by_side_up_to_the_limit(threads, name):
    both, running = threading.Barrier(2), []

    def meet(number):
        running.append(number)
        both.wait(10)
        return number

    futures = [threads.submit(meet, number) for number in range(4)]
    assert [future.result(10) for future in futures] == [0, 1, 2, 3]
    assert len(_of(name)) == 2


def test_a_thread_that_is_free_is_used_again(threads, name):
    for number in range(10):
        assert threads.submit(str, number).result(10) == str(number)
    assert len(_of(name)) <= 2


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_an_error_is_the_futures_and_not_the_threads(threads, error):
    def fail(_argument):
        raise error

    assert threads.submit(fail, None).exception(10) is error
    assert threads.submit(str, 1).result(10) == "1"


def test_what_was_cancelled_before_its_turn_never_runs(threads):
    release, ran = threading.Event(), []
    held = [threads.submit(lambda _: release.wait(10), None) for _ in range(2)]
    late = threads.submit(ran.append, 1)
    assert late.cancel()
    release.set()
    assert all(future.result(10) for future in held)
    assert threads.submit(str, 1).result(10) == "1"
    assert ran == []


def test_threads_do_not_keep_the_process(threads, name):
    threads.submit(str, 1).result(10)
    assert [thread.daemon for thread in _of(name)] == [True]


def _of(name):
    return [thread for thread in threading.enumerate() if thread.name.startswith(f"{name}-")]
