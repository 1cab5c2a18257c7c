"""How a node's connections end: nothing that was sent before is lost."""

import os
import select
import socket
import threading

import pytest

from braidmq.carrier import connections
from braidmq.carrier.connections import Connections, part
from braidmq.carrier.stream import End
from braidmq.lab.processes.waiting import wait_until
from braidmq.settings import KIB
from tests.support.dialers import Broker, Node
from tests.support.streams import TIGHT, read_to_the_end, reset, streams

FOREVER_S = 3600.0
"""A test that waits for so long is ended by its own limit."""


@pytest.fixture
def made():
    """Returns connections, and closes them."""
    all_of_them = []

    def make(**options):
        all_of_them.extend(streams(**options))
        return all_of_them[-2:]

    yield make
    for each in all_of_them:
        each.close()


@pytest.fixture
def nobody_hangs(monkeypatch):
    """On a busy machine the other side may take long."""
    monkeypatch.setattr(connections, "HUNG_S", FOREVER_S)


def beside(function, *args):
    """Let a thread do something; return what joins it and returns the outcome."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function(*args)))
    thread.start()

    def outcome():
        thread.join()
        return found[0]

    return outcome


def read_and_end(stream):
    """Do what the other side does: read all that comes, and end the connection when it has ended."""
    found = read_to_the_end(stream)
    stream.close()
    return found


def messages(count):
    return [b"%06d" % number + bytes(32 * KIB - 6) for number in range(count)]


@pytest.mark.usefixtures("nobody_hangs")
def test_the_other_side_ends_it(made):
    server, client = made()
    client.send([b"last words"])
    others = beside(read_and_end, server)
    part([client], FOREVER_S)
    assert client.end is End.CLOSED
    client.close()
    assert others() == [b"last words"]


@pytest.mark.usefixtures("nobody_hangs")
def test_what_waits_leaves_before_the_end(made):
    server, client = made(buffer_bytes=TIGHT)
    for message in messages(100):
        client.send([message])
    assert client.blocked
    others = beside(read_and_end, server)
    part([client], FOREVER_S)
    assert client.end is End.CLOSED
    assert client.close() == []
    assert b"".join(others()) == b"".join(messages(100))


def test_what_comes_meanwhile_does_not_cost_what_was_sent(made):
    server, client = made(buffer_bytes=TIGHT)
    for message in messages(30):
        client.send([message])
        server.send([message])
    assert client.blocked
    assert server.blocked

    def talk_and_listen():
        found = []
        while server.end is None:
            server.send([b"and more"] if not server.blocked else [])
            server.flush()
            server.read(found)
        server.close()
        return found

    others = beside(talk_and_listen)
    part([client], FOREVER_S)
    client.close()
    assert b"".join(others()) == b"".join(messages(30))


def test_several_connections_end_side_by_side(made):
    pairs = [made(buffer_bytes=TIGHT) for _ in range(5)]
    for _, client in pairs:
        client.send(messages(20))
    others = [beside(read_and_end, server) for server, _ in pairs]
    part([client for _, client in pairs], FOREVER_S)
    assert [client.close() for _, client in pairs] == [[]] * 5
    assert [b"".join(each()) for each in others] == [b"".join(messages(20))] * 5


def test_whoever_has_taken_all_and_hangs_is_not_waited_for(made):
    server, client = made()
    client.send([b"last words"])
    part([client], FOREVER_S)
    client.close()
    assert read_to_the_end(server) == [b"last words"]


def test_whoever_takes_nothing_is_waited_for_no_longer_than_asked(made):
    server, client = made(buffer_bytes=TIGHT)
    for message in messages(30):
        client.send([message])
    part([client], 0.2)
    assert client.blocked
    unsent = client.close()
    assert b"".join(read_to_the_end(server)) + b"".join(unsent) == b"".join(messages(30))


def test_those_that_have_ended_already_keep_nobody_waiting(made):
    (server, client), (other_server, other) = made(), made()
    reset(server._socket)
    other_server.close()
    wait_until(lambda: client.send([b"x"]) or client._torn is not None, "the system takes no more")
    part([client, other], FOREVER_S)
    part([client, other], FOREVER_S)
    part([], FOREVER_S)


def test_what_is_closed_gives_its_descriptor_back():
    node, broker = Node(), Broker()
    kept = Connections()
    node.open(broker.endpoint)
    broker.greet(node)
    kept.brokers.update(node.brokers)
    kept.close()
    assert kept.brokers == {}
    assert read_to_the_end(broker.stream) == []
    broker.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_forked_child_that_lets_go_neither_ends_connections_nor_keeps_them():
    node, broker = Node(), Broker()
    epoll = select.epoll()
    node.open(broker.endpoint)
    broker.greet(node)
    node.until_greeted()
    kept = Connections()
    kept.brokers.update(node.brokers)
    mine = node.brokers["b1"]
    epoll.register(mine.descriptor, select.EPOLLIN)
    ours, childs = socket.socketpair()
    child = os.fork()
    if not child:
        try:
            ours.close()
            kept.let_go()
            childs.sendall(b"gone")
            childs.recv(1)  # it lives on
        finally:
            os._exit(0)
    childs.close()
    with ours:
        assert ours.recv(4) == b"gone"
        broker.stream.send([b"still there"])
        assert epoll.poll(10) == [(mine.descriptor, select.EPOLLIN)]
        node.until(lambda: node.frames == [("b1", b"still there")], "it is heard")
        node.dialer.send("b1", [b"last words"])
        kept.close()
        assert read_to_the_end(broker.stream) == [b"last words"]
    assert os.waitpid(child, 0)[1] == 0
    epoll.close()
    broker.close()
