import threading
from queue import Queue

import pytest

from braidmq.host import lookups
from braidmq.host.dns import ResolveError
from braidmq.host.lookups import Lookups


class Dns:
    """Answers lookups as a test wants, in place of the network."""

    def __init__(self, monkeypatch):
        self.answers = {}
        monkeypatch.setattr(lookups, "resolve", self.resolve)
        self.told = Queue()
        self.lookups = Lookups(lambda: self.told.put(None))

    def resolve(self, endpoint):
        answer = self.answers[endpoint]
        if isinstance(answer, threading.Event):
            assert answer.wait(10)
            return ("tcp://9.9.9.9:1",)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def begin(self, name, *endpoints):
        self.lookups.begin(name, endpoints)

    def next(self):
        self.told.get(timeout=10)
        return self.lookups.take()


@pytest.fixture
def dns(monkeypatch):
    dns = Dns(monkeypatch)
    yield dns
    dns.lookups.close()


def test_addresses_are_there_at_once(dns):
    dns.begin("b1", "tcp://1.2.3.4:5", "tcp://[::1]:5")
    assert dns.lookups.take() == [("b1", ["tcp://1.2.3.4:5", "tcp://[::1]:5"])]
    assert dns.lookups.take() == []


def test_names_are_looked_up_and_one_without_an_address_does_not_spoil_the_others(dns, caplog):
    dns.answers = {"tcp://a:1": ResolveError("a has no address"), "tcp://b:1": ("tcp://1.1.1.1:1", "tcp://2.2.2.2:1")}
    for _ in range(3):
        dns.begin("b1", "tcp://a:1", "tcp://b:1")
        assert dns.next() == [("b1", ["tcp://1.1.1.1:1", "tcp://2.2.2.2:1"])]
    assert [record.getMessage() for record in caplog.records] == ["b1: a has no address"]


def test_lookup_that_hangs_delays_nobody_else_and_is_not_begun_twice(dns):
    gate = threading.Event()
    dns.answers = {"tcp://slow:1": gate, "tcp://b:1": ("tcp://1.1.1.1:1",)}
    for number in range(10):
        dns.begin(f"slow{number}", "tcp://slow:1")
        dns.begin(f"slow{number}", "tcp://slow:1")
    dns.begin("b1", "tcp://b:1")
    assert dns.next() == [("b1", ["tcp://1.1.1.1:1"])]
    gate.set()
    found = []
    while len(found) < 10:
        found += dns.next()
    assert sorted(name for name, _ in found) == [f"slow{number}" for number in range(10)]


def test_broker_whose_lookup_failed_by_an_error_is_looked_up_again(dns):
    dns.answers = {"tcp://a:1": MemoryError()}
    dns.begin("b1", "tcp://a:1")
    assert dns.next() == [("b1", [])]
    dns.answers = {"tcp://a:1": ("tcp://1.1.1.1:1",)}
    dns.begin("b1", "tcp://a:1")
    assert dns.next() == [("b1", ["tcp://1.1.1.1:1"])]


def test_a_dns_server_that_answers_anew_each_time_cannot_flood_the_log(dns, caplog):
    for number in range(100):
        dns.answers = {"tcp://a:1": ResolveError(f"a has no address: {number}")}
        dns.begin("b1", "tcp://a:1")
        dns.next()
    assert [record.getMessage() for record in caplog.records] == ["b1: a has no address: 0"]


def test_what_goes_on_is_told_when_the_time_has_come(dns, caplog, monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(lookups, "monotonic", lambda: now[0])
    for text in ("one", "two", "two"):
        dns.answers = {"tcp://a:1": ResolveError(text)}
        dns.begin("b1", "tcp://a:1")
        dns.next()
        now[0] += lookups.TELL_S / 2
    assert [record.getMessage() for record in caplog.records] == ["b1: one", "b1: two"]


def test_a_lookup_that_fails_by_a_bug_is_told_with_its_traceback(dns, caplog):
    dns.answers = {"tcp://a:1": RuntimeError("a bug\n")}
    dns.begin("b1", "tcp://a:1")
    assert dns.next() == [("b1", [])]
    (record,) = caplog.records
    assert record.getMessage() == "b1: looking up tcp://a:1 failed with RuntimeError('a bug\\n')"
    assert record.exc_info
