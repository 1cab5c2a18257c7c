import logging

import pytest

from braidmq.cli.processes import broker_programs, run_all, serve_programs
from braidmq.errors import ConfigError
from braidmq.host.supervised import Program
from braidmq.trust.authority import Authority
from braidmq.trust.numbered import numbered


@pytest.fixture
def first(tmp_path):
    authority = Authority.create(tmp_path / "net")
    return authority.add_brokers(numbered("b1", ["tcp://h:5551"], 2))[0]


def test_each_has_its_join_file_and_all_have_the_options(first):
    one, two = broker_programs(first, 2, (), ["--preset=wan", "--set=drain_s=1"])
    assert (one.name, two.name) == ("b1-1", "b1-2")
    assert one.command[-4:] == ("broker", "--preset=wan", "--set=drain_s=1", f"--join={first}")
    assert two.command[-1] == f"--join={first.with_name('b1-2.braid')}"


def test_what_is_bound_counts_up(first):
    one, two = broker_programs(first, 2, ["tcp://*:7000", "tcp://[::1]:8000"], [])
    assert one.command[-2:] == ("--bind=tcp://*:7000", "--bind=tcp://[::1]:8000")
    assert two.command[-2:] == ("--bind=tcp://*:7001", "--bind=tcp://[::1]:8001")
    with pytest.raises(ConfigError, match="cannot be counted up by 1"):
        broker_programs(first, 2, ["tcp://*:65535"], [])
    with pytest.raises(ConfigError, match="leads to one broker only"):
        broker_programs(first, 2, ["ipc:///run/b.sock"], [])


def test_no_two_are_to_listen_at_one_place(first):
    with pytest.raises(ConfigError, match=r"two of them would listen at tcp://\*:7001: leave 2 ports"):
        broker_programs(first, 2, ["tcp://*:7000", "tcp://*:7001"], [])


def test_the_exit_code_is_that_of_the_supervisor_and_the_end_is_told(caplog):
    caplog.set_level(logging.INFO)
    assert run_all([Program("b1-1", ("/nothing/there",)), Program("b1-2", ("/nothing/there",))]) == 1
    assert caplog.messages[-1] == "all 2 processes have ended"


def test_the_processes_of_a_worker_differ_in_their_number_only():
    one, two = serve_programs("app:services", 2, ["app:services", "--processes", "2", "--join", "w.braid"])
    assert (one.name, two.name) == ("app:services[1]", "app:services[2]")
    assert one.command[-6:] == ("--supervised=1", "app:services", "--processes", "2", "--join", "w.braid")
    assert [each.replace("=1", "=2") for each in one.command] == list(two.command)
