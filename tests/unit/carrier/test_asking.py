"""A connection of a thread without an event loop."""

import socket

import pytest

from braidmq.carrier.asking import Asking
from braidmq.core.links.link import Failure, Open
from braidmq.lab.processes.waiting import wait_until
from braidmq.settings import Settings
from braidmq.zmtp.violation import Refusal
from tests.support.dialers import Broker
from tests.support.scarcity import descriptors, only
from tests.support.streams import CLIENT, SERVER, as_server, read_to_the_end


def ask(endpoint, key=SERVER.public):
    return Asking(Settings(), CLIENT, Open("b1", endpoint, key))


@pytest.fixture
def broker():
    made = Broker()
    yield made
    made.close()


def serve(asking, broker_end, found):
    """Let both ends do what they can."""
    broker_end.flush()
    broker_end.read(found)
    asking.serve(0.01)


def test_it_asks_and_hears_the_answer(broker):
    asking, heard = ask(broker.endpoint), []
    broker.accept()
    asking.send(b"a question")
    wait_until(lambda: serve(asking, broker.stream, heard) or heard, "the question has come", poll_s=0.0)
    assert heard == [b"a question"]
    assert asking.greeted
    assert asking.failure is None
    broker.stream.send([b"an answer"])
    wait_until(lambda: asking.serve(0.01) or asking.frames, "the answer has come", poll_s=0.0)
    assert asking.frames == [b"an answer"]
    asking.close()
    assert read_to_the_end(broker.stream) == []


def test_a_long_question_leaves_as_the_broker_reads(broker):
    asking, heard = ask(broker.endpoint), []
    broker.accept()
    asking.send(bytes(8_000_000))
    wait_until(lambda: serve(asking, broker.stream, heard) or heard, "the question has come", poll_s=0.0)
    assert heard == [bytes(8_000_000)]
    asking.close()


def test_it_asks_over_a_connection_that_there_is_already():
    """Such as one within a process, where no address can be reached."""
    here, there = socket.socketpair()
    there.setblocking(False)
    server, heard = as_server(here), []
    asking = Asking(Settings(), CLIENT, Open("b1", "", SERVER.public), there)
    asking.send(b"a question")

    wait_until(lambda: serve(asking, server, heard) or heard, "the question has come", poll_s=0.0)
    assert heard == [b"a question"]
    asking.close()
    assert read_to_the_end(server) == []
    server.close()


def test_why_it_fails_is_told(broker):
    def refuse(_key):
        raise Refusal("400")

    broker.options = {"authorise": refuse}
    asking = ask(broker.endpoint)
    broker.accept()
    wait_until(lambda: serve(asking, broker.stream, []) or asking.failure, "it fails", poll_s=0.0)
    assert asking.failure is Failure.NOT_REGISTERED
    assert not asking.greeted
    asking.close()


def test_the_end_of_a_broker_is_told_behind_its_answer(broker):
    asking = ask(broker.endpoint)
    broker.accept()
    wait_until(lambda: serve(asking, broker.stream, []) or asking.greeted, "it is greeted", poll_s=0.0)
    broker.stream.send([b"an answer"])
    broker.stream.close()
    wait_until(lambda: asking.serve(0.01) or asking.failure, "its end is told", poll_s=0.0)
    assert asking.failure is Failure.CLOSED
    assert asking.frames == [b"an answer"]
    asking.close()


def test_what_cannot_be_begun_has_failed_at_once_and_can_be_served_and_closed():
    asking = ask("tcp://no.address:5555")
    assert asking.failure is Failure.UNREACHABLE
    asking.serve(0.0)
    asking.send(b"nobody")
    asking.close()


@descriptors
def test_whatever_happens_its_descriptor_is_given_back(broker):
    with only(8):
        for _ in range(50):
            asking = ask(broker.endpoint)
            assert asking.failure is None
            asking.close()
            end, _ = broker.listener.accept()
            end.close()


def test_it_does_not_spin_while_it_waits():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asking = ask(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        end, _ = listener.accept()
        wait_until(lambda: asking.serve(0.01) or asking._brokers["b1"].reached, "it is reached")
        asking.serve(0.01)
        assert asking._poll.poll(50) == []
        asking.close()
        end.close()
