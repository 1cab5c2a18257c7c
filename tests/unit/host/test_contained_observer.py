import logging
from typing import Any

import pytest

from braidmq.host.contained_observer import contained, hears
from braidmq.host.loggers import own_logger
from braidmq.observer import BrokerObserver, NodeObserver

LOG = own_logger("braidmq.node")


class Faulty(NodeObserver):
    def __init__(self):
        self.called = 0

    def on_call(self, id_, service, now):
        self.called += 1
        raise ValueError(f"no \x1b[2J {service}")

    def on_job_begun(self, id_, now):
        raise OSError("no disk")


def test_an_error_is_told_once_for_each_hook_and_counted_each_time(caplog):
    own = Faulty()
    observer: Any = contained(own, NodeObserver, LOG)
    with caplog.at_level(logging.INFO, "braidmq.node"):
        for _ in range(100):
            observer.on_call(b"id", "s", 1.0)
        observer.on_job_begun(b"id", 1.0)
    assert own.called == 100
    assert observer.errors == 101
    assert [record.getMessage().partition(" ")[0] for record in caplog.records] == ["on_call", "on_job_begun"]
    assert all(record.exc_info for record in caplog.records)


def test_hooks_get_what_they_are_told_and_the_others_do_nothing():
    seen = []

    class Watching(BrokerObserver):
        def on_peer(self, broker, before, state, now):
            seen.append((broker, before, state, now))

    observer: Any = contained(Watching(), BrokerObserver, LOG)
    observer.on_peer("b2", "alive", "dead", 3.0)
    observer.on_session("n", "node", 3.0)
    assert seen == [("b2", "alive", "dead", 3.0)]
    assert observer.errors == 0
    assert isinstance(observer, BrokerObserver)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_is_to_end_the_process_ends_it(error):
    class Ending(NodeObserver):
        def on_call(self, id_, service, now):
            raise error

    with pytest.raises(error):
        contained(Ending(), NodeObserver, LOG).on_call(b"id", "s", 1.0)


def test_it_is_known_which_hooks_are_heard():
    observer = contained(Faulty(), NodeObserver, LOG)
    assert hears(observer, "on_call")
    assert not hears(observer, "on_lag")
