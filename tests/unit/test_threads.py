import threading

import pytest

from braidmq.threads import DaemonThreads


@pytest.fixture
def threads():
    pool = DaemonThreads(2, "test")
    yield pool
    pool.close()


def test_functions_run_side_by_side_up_to_the_limit(threads):
    both, running = threading.Barrier(2), []

    def meet(number):
        running.append(number)
        both.wait(10)
        return number

    futures = [threads.submit(meet, number) for number in range(4)]
    assert [future.result(10) for future in futures] == [0, 1, 2, 3]
    assert len({name for name in _names() if name.startswith("test-")}) == 2


def test_a_thread_that_is_free_is_used_again(threads):
    for number in range(10):
        assert threads.submit(str, number).result(10) == str(number)
    assert sum(name.startswith("test-") for name in _names()) <= 2


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


def test_threads_do_not_keep_the_process(threads):
    threads.submit(str, 1).result(10)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("test-"))


def _names():
    return [thread.name for thread in threading.enumerate()]
