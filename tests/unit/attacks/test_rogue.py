"""What a hostile broker can say that no honest one would: PING of the transport."""

import os

from attacks.curve import PING
from attacks.rogue import LyingPeer
from braidmq.carrier.rooms import Rooms
from braidmq.lab.processes.waiting import wait_until
from braidmq.wire.limits import MESSAGE_BYTES_MAX
from braidmq.zmtp.handshake import ServerHandshake
from tests.support.streams import SERVER, admit, as_client, shake_hands, sockets


def test_pings_go_as_commands_each_by_itself_and_messages_beside_them():
    here, there = sockets()
    here.setblocking(False)
    handshake = ServerHandshake(SERVER, admit, os.urandom)
    peer = LyingPeer(here, handshake, MESSAGE_BYTES_MAX, Rooms(), route=b"r", address="")
    node = as_client(there)
    shake_hands(peer, node)
    peer.send([PING, b"one", PING, PING, b"two"])
    found = []
    wait_until(lambda: [node.read(found), found][1], "the messages have come")
    assert found == [b"onetwo"]
    assert node.pings == 3
    assert node.end is None
    for each in (peer, node):
        each.close()


def test_a_connection_that_takes_no_more_gets_no_more_pings():
    here, there = sockets(buffer_bytes=4_096)
    here.setblocking(False)
    handshake = ServerHandshake(SERVER, admit, os.urandom)
    peer = LyingPeer(here, handshake, MESSAGE_BYTES_MAX, Rooms(), route=b"r", address="")
    node = as_client(there)
    shake_hands(peer, node)
    while not peer.blocked:
        peer.send([PING] * 1_000)
    waiting = peer.waiting_bytes
    peer.send([PING] * 1_000)
    assert peer.waiting_bytes == waiting < 1_000
    for each in (peer, node):
        each.close()
