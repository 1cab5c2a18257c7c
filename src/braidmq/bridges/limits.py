"""What a bridge holds at most for foreign peers. None of them is a member, and nothing of theirs grows without end."""

from typing import Final

_MIB: Final = 1024 * 1024

PEERS_MAX: Final = 1_000
"""Foreign connections of one endpoint that have said something. All programs of a machine fit; what more of them
say is dropped, until one ends."""

SILENT_MAX: Final = 1_000
"""Foreign connections of one endpoint that have said nothing: as many as may have. Beyond, the oldest is ended, and
its program connects again by itself: so nobody can take all descriptors by saying nothing."""

HANDSHAKE_S_MAX: Final = 10.0
"""Time for the ZMTP handshake of a foreign connection: as long as the HTTP gateway gives a request."""

CALLS_PER_PEER_MAX: Final = 256
"""Calls under way for one foreign peer: as many as a node has on their way by default, so that one peer can keep a
bridge busy, and no more than that."""

CALLS_OF_FEW: Final = CALLS_PER_PEER_MAX // 4
"""A peer that has asked for too much has come to its senses when it has no more calls under way than this."""

CALLS_BYTES_PER_PEER_MAX: Final = 16 * _MIB
"""Payloads of the calls under way for one foreign peer; one call may be larger. A quarter of what a node lets wait for
one broker by default, so that a peer with large calls leaves room for those of others."""

HELD_PER_PEER_MAX: Final = 100
"""Messages that are held for one foreign peer, or for one foreign service, until they can go on: enough for what a
program sends while its bridge restarts."""

FRAMES_MAX: Final = 1_024
"""Frames of one foreign message. Programs send some; each costs a bridge an object, however short it is."""

SLACK_BYTES: Final = 64 * 1024
"""How much longer than the largest payload a foreign message may be: room for names, headers and the like."""

MESSAGES_UNREAD_MAX: Final = 1_000
"""High-water mark of a foreign connection: what a peer does not read in time is dropped, and counted."""

MESSAGES_AHEAD_MAX: Final = 16
"""Messages of one foreign connection that libzmq reads before the bridge takes them. Any of them may be as large as a
payload: TCP holds back the rest, at the peer that has sent it."""

AHEAD_SLACK_BYTES: Final = 8 * _MIB
"""How much more than MESSAGES_AHEAD_MAX messages a foreign connection may have sent of which nothing could be read: the
system's own buffers hold six MiB at most by default."""

AHEAD_BYTES_MAX: Final = 256 * _MIB
"""What all foreign connections may have sent together of which nothing could be read. Beyond, the one with the most is
ended: a message that never ends takes memory that libzmq does not bound."""

LOOK_S: Final = 0.1
"""How often the memory of the process is looked at. Over loopback a peer sends some hundred MiB in that time."""

GROWN_BYTES: Final = 32 * _MIB
"""By so much it must have grown before each connection is looked at: a thousand of them cost some milliseconds."""

HEARTBEAT_S: Final = 5.0
"""How often ZMTP asks a foreign connection for a sign of life: a third of what it may take."""

SILENCE_S_MAX: Final = 15.0
"""After so much silence of its ZMTP a foreign connection is closed."""

CLOSE_S_MAX: Final = 0.5
"""Time that the last messages of a bridge have to leave when it ends."""

READS_AT_ONCE: Final = 64
"""Messages that are read before anything else has its turn: the same loop serves the bridge's brokers, and peers whose
replies have come."""

READS_AT_ONCE_OF_ONE: Final = 8
"""As many of them may be one peer's: half of what libzmq has read ahead of it. It is 1 for a peer
that has asked for too much: what it sends in vain costs a message in each turn of the loop, however short of time that
is."""
