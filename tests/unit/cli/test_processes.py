import logging

import pytest

from braidmq.cli.processes import programs, run_all
from braidmq.errors import ConfigError
from braidmq.host.supervisor import Program
from braidmq.trust.authority import Authority
from braidmq.trust.numbered import numbered


@pytest.fixture
def first(tmp_path):
    authority = Authority.create(tmp_path / "net")
    return authority.add_brokers(numbered("b1", ["tcp://h:5551"], 2))[0]


def test_each_has_its_join_file_and_all_have_the_options(first):
    one, two = programs(first, 2, (), ["--preset=wan", "--set=drain_s=1"])
    assert (one.name, two.name) == ("b1-1", "b1-2")
    assert one.command[-4:] == ("broker", "--preset=wan", "--set=drain_s=1", f"--join={first}")
    assert two.command[-1] == f"--join={first.with_name('b1-2.braid')}"


def test_what_is_bound_counts_up(first):
    one, two = programs(first, 2, ["tcp://*:7000", "tcp://[::1]:8000"], [])
    assert one.command[-2:] == ("--bind=tcp://*:7000", "--bind=tcp://[::1]:8000")
    assert two.command[-2:] == ("--bind=tcp://*:7001", "--bind=tcp://[::1]:8001")
    with pytest.raises(ConfigError, match="cannot be counted up by 1"):
        programs(first, 2, ["tcp://*:65535"], [])
    with pytest.raises(ConfigError, match="leads to one broker only"):
        programs(first, 2, ["ipc:///run/b.sock"], [])


def test_no_two_are_to_listen_at_one_place(first):
    with pytest.raises(ConfigError, match=r"two of them would listen at tcp://\*:7001: leave 2 ports"):
        programs(first, 2, ["tcp://*:7000", "tcp://*:7001"], [])


def test_the_exit_code_is_that_of_the_supervisor_and_the_end_is_told(caplog):
    caplog.set_level(logging.INFO)
    assert run_all([Program("b1-1", ("/nothing/there",)), Program("b1-2", ("/nothing/there",))], 0.1) == 1
    assert caplog.messages[-1] == "all 2 processes have ended"
