"""A broker of this machine is met at its own socket; what stands there in its place costs no more than a moment."""

import socket
import threading
from contextlib import closing, contextmanager

import pytest

from braidmq.carrier.dialer import NEAR_SHARE
from braidmq.carrier.nearby import ANSWER_S_MAX, Nearby
from braidmq.core.links.link import Failure, Step
from braidmq.lab.processes.waiting import wait_until
from braidmq.settings import Settings
from braidmq.zmtp.violation import Refusal
from tests.support.dialers import Broker, Node
from tests.support.nearby import sockets_in_a_directory_of_their_own
from tests.support.streams import as_server, new_pair

NOWHERE = "tcp://127.0.0.1:1"
NET = Nearby("net", b"a" * 32)


@pytest.fixture(autouse=True)
def runtime():
    with sockets_in_a_directory_of_their_own() as directory:
        yield directory


@pytest.fixture
def path():
    return NET.place("b1").removeprefix("ipc://")


@pytest.fixture
def node():
    made = Node(Settings(handshake_s_max=NEAR_SHARE * 0.05), Nearby("net", b"a" * 32))
    yield made
    made.close()


@pytest.fixture
def far():
    made = Broker()
    yield made
    made.close()


@contextmanager
def impostor(path, behave):
    """Let something that is not the broker stand at its socket: `behave` has each of its connections."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)
        met = []

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                met.append(connection)
                behave(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield met
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in met:
                each.close()


def hang_up(connection):
    connection.shutdown(socket.SHUT_RDWR)


def say_nothing(_connection):
    pass


def be_another_program(connection):
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" + bytes(100))


def have_another_key(connection):
    serve(connection, keys=new_pair())


def claim_that_nobody_is_registered(connection):
    """Refusals are not authenticated, so that anybody can say so."""
    connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + b"\x01" + bytes(31))
    connection.sendall(b"\x04\x0a\x05ERROR\x03400")


def serve(connection, **options):
    stream = as_server(connection, **options)
    wait_until(lambda: [stream.flush(), stream.read([]), stream.end][2], "it has ended", poll_s=0.001)
    hang_up(connection)


IMPOSTORS = {
    hang_up: Failure.HUNG_UP,
    say_nothing: Failure.MUTE,
    be_another_program: Failure.HTTP,
    have_another_key: Failure.OTHER_KEY,
    claim_that_nobody_is_registered: Failure.NOT_REGISTERED,
}
HARMLESS = (Failure.HUNG_UP, Failure.NOT_REGISTERED)


def test_a_broker_is_met_at_its_own_socket(node, path):
    near = Broker(path)
    with closing(near):
        assert node.open(NOWHERE) is None
        near.greet(node)
        node.until_greeted()
        assert node.steps == [("b1", Step.REACHED), ("b1", Step.GREETED)]
        node.dialer.send("b1", [b"h" * 20])
        heard = []
        wait_until(lambda: [near.stream.read(heard), heard][1], "it has come")
        assert heard == [b"h" * 20]
        near.stream.send([b"back" * 5])
        node.until(lambda: node.frames, "it has come back")
        near.close()
        assert node.until_failed()[-1] is Failure.CLOSED, "what has let it in was the broker"


@pytest.mark.parametrize("behave", IMPOSTORS)
def test_an_impostor_costs_one_attempt_and_a_line(node, far, path, caplog, behave):
    failure = IMPOSTORS[behave]
    caplog.set_level("INFO")
    with impostor(path, behave) as met:
        assert node.open(far.endpoint) is None
        node.until(lambda: len(node.brokers) == 1 and node.brokers["b1"].near is None, "it is given up")
        far.greet(node)
        node.until_greeted()
        assert node.steps == [("b1", Step.REACHED), ("b1", Step.GREETED)], "the core has not heard of it"
        assert node.given_up == []
        assert len(met) == 1
    [record] = [each for each in caplog.records if each.name == "braidmq.connections"]
    assert record.levelname == ("INFO" if failure in HARMLESS else "WARNING")
    assert record.getMessage().startswith(f"b1 at {path}: {failure}; it is tried over TCP")


@pytest.mark.parametrize(("behave", "failure"), IMPOSTORS.items())
def test_whoever_cannot_be_its_broker_is_left_alone_for_a_while(node, far, path, behave, failure):
    with impostor(path, behave) as met:
        for _ in range(2):
            assert node.open(far.endpoint) is None
            node.until(lambda: node.brokers["b1"].near is None, "it is given up")
            far.greet(node)
            node.until_greeted()
            node.dialer.close("b1")
            far.stream.close()
            node.steps.clear()
        assert len(met) == (2 if failure in HARMLESS else 1)


@pytest.mark.parametrize("behave", IMPOSTORS)
def test_where_the_broker_is_not_either_it_is_missed_once(node, path, behave):
    with impostor(path, behave):
        assert node.open(NOWHERE) is None
        node.until(lambda: node.steps or node.given_up, "it fails")
        assert node.steps + node.given_up == [("b1", Failure.UNREACHABLE)]
        assert node.dialer.close("b1") == []
        assert not node.dialer._near


def test_a_refusal_counts_when_the_endpoint_says_so_too(node, path):
    def nobody(_key):
        raise Refusal("400", "somebody")

    far = Broker(authorise=nobody)
    with closing(far), impostor(path, claim_that_nobody_is_registered):
        assert node.open(far.endpoint) is None
        node.until(lambda: node.brokers["b1"].near is None, "it is given up")
        far.greet(node)
        assert node.until_failed()[-1] is Failure.NOT_REGISTERED


def test_a_key_that_is_none_is_told_as_without_a_socket(node, path):
    with impostor(path, say_nothing):
        assert node.open(NOWHERE, key=b"short") is Failure.NOT_THIS_BROKER
        assert not node.dialer._near


def test_an_attempt_that_is_not_wanted_any_more_is_not_held_against_the_socket(node, path):
    with impostor(path, say_nothing) as met:
        for count in (1, 2):
            assert node.open(NOWHERE) is None
            node.dialer.close("b1")
            assert not node.dialer._near
            wait_until(lambda count=count: len(met) == count, "it was called")


def test_the_handshake_there_leaves_most_of_the_time_for_the_endpoint():
    assert Node(Settings(handshake_s_max=0.1), NET).dialer._near_s_max == 0.1 / NEAR_SHARE
    assert Node(Settings(handshake_s_max=60.0), NET).dialer._near_s_max == ANSWER_S_MAX


def test_without_nearby_sockets_a_broker_is_met_at_its_endpoint(far, path):
    node = Node()
    with impostor(path, hang_up) as met, closing(node):
        assert node.open(far.endpoint) is None
        far.greet(node)
        node.until_greeted()
        assert not met


def test_a_refusal_there_is_told_once(node, path, caplog):
    caplog.set_level("INFO")
    with impostor(path, claim_that_nobody_is_registered) as met:
        for _ in range(3):
            node.steps.clear()
            assert node.open(NOWHERE) is None
            node.until(lambda: node.steps or node.given_up, "it fails")
            node.dialer.close("b1")
        assert len(met) == 3
    assert [each.getMessage() for each in caplog.records if "is tried over TCP" in each.getMessage()] == [
        f"b1 at {path}: {Failure.NOT_REGISTERED}; it is tried over TCP"
    ]
