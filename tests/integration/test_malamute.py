"""Programs of Malamute, each in a process of its own, before a bridge whose brokers are killed, and which is killed.

They are no mlm_client, which no registry has: see tests/support/mlm_client.py.
"""

import signal
from pathlib import Path
from time import monotonic

import pytest

from tests.support.bridged import Bridged
from tests.support.processes import wait_until

PROGRAM = Path(__file__).parents[1] / "support" / "mlm_client.py"


@pytest.fixture
def net(live, tmp_path):
    return Bridged(live, tmp_path, "malamute", serves="mlm.*")


def program(net, role, *arguments):
    """Start a program of Malamute."""
    return net.launch(PROGRAM, role, net.endpoint, *arguments)


def test_every_call_of_a_client_is_answered_once_though_a_broker_is_killed(net):
    client = program(net, "client", "pricing", 200)
    for number in range(200):
        assert client.hear(30).strip() == f"price price {number}"
        if number == 100:
            net.brokers["b1"].end(signal.SIGKILL)
    assert client.hear().strip() == "asked again 0 times"
    assert client.wait() == 0
    assert net.bridge.running


@pytest.mark.nightly
def test_workers_serve_though_a_broker_is_killed_and_one_of_them(net):
    workers = [program(net, "worker", "mlm.echo", name) for name in ("first", "second")]
    replies = net.ask_while_they_die("mlm.echo", workers)
    assert [reply.payload.split()[1] for reply in replies] == [b"%d" % number for number in range(200)]
    assert {reply.payload.split()[0] for reply in replies[:60]} == {b"first", b"second"}


@pytest.mark.nightly
def test_worker_is_back_after_its_bridge_was_killed(net):
    program(net, "worker", "mlm.echo", "first")
    assert net.ask_after_its_death("mlm.echo", b"14") == b"first 14"


@pytest.mark.nightly
def test_client_goes_on_after_its_bridge_was_killed(net):
    """A request that the old bridge had is lost without a word: the program asks again, as it must at Malamute."""
    client = program(net, "client", "pricing", 200)
    for number in range(200):
        assert client.hear(30).strip() == f"price price {number}"
        if number == 100:
            net.bridge.end(signal.SIGKILL)
            net.start()
    assert client.hear().strip() in {"asked again 0 times", "asked again 1 times"}
    assert client.wait() == 0


@pytest.mark.nightly
def test_client_that_was_stopped_for_15_s_finds_its_answer(net):
    """It is forgotten meanwhile; it opens anew, and goes on with what it had asked."""
    client = program(net, "client", "pricing", 400)
    assert client.hear(30).strip() == "price price 0"
    client.send_signal(signal.SIGSTOP)
    stopped_at = monotonic()
    wait_until(lambda: monotonic() > stopped_at + 15, "15 s have gone")
    client.send_signal(signal.SIGCONT)
    for number in range(1, 400):
        assert client.hear(30).strip() == f"price price {number}"
    assert client.wait() == 0


@pytest.mark.nightly
def test_bridge_that_drains_ends_by_itself_and_its_programs_find_the_next_one(net):
    program(net, "worker", "mlm.echo", "first")
    net.live.wait_for_workers("mlm.echo")
    assert net.bridge.end() == 0
    assert "all bridges have ended" in net.bridge.log
    net.start()
    net.live.wait_for_workers("mlm.echo")
