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

UNREAD_MESSAGES_MAX: Final = 1_000
"""Messages that wait for a foreign connection to read: what more it does not read in time is dropped, and counted."""

UNREAD_BYTES_MAX: Final = 256 * _MIB
"""What waits for all foreign connections together to be read. Beyond, nothing more is kept for the one with the most of
it, which is ended as soon as another one needs room."""

HELD_BACK_BYTES_MAX: Final = 64 * 1024
"""Messages for one connection that leave together, at most: more than that takes no less time."""

READ_BYTES: Final = 64 * 1024
"""What is read of a foreign connection at once. One that has sent so much that has not been handled is not read on:
TCP holds back the rest, at the peer that has sent it. So 1,000 of them hold half of HELD_BYTES_MAX at most by whole
messages."""

HELD_BYTES_MAX: Final = 256 * _MIB
"""What is held of all foreign connections' messages that are not complete. Beyond, the one with the most is ended."""

ABSENCE_S_MAX: Final = 15.0
"""After so long a foreign connection is closed whose machine is gone, so that nothing of it answers."""

PROBE_S: Final = 5.0
"""How often the system asks an idle connection for a sign of its machine: a third of that."""

CLOSE_S_MAX: Final = 0.5
"""Time that the last messages of a bridge have to leave when it ends."""

READS_AT_ONCE: Final = 64
"""Messages that are read before anything else has its turn: the same loop serves the bridge's brokers, and peers whose
replies have come."""

READS_AT_ONCE_OF_ONE: Final = 8
"""As many of them may be one peer's."""

REST_S: Final = 0.001
"""How long nothing is read of a peer for each message of its that was in vain: so these are a thousand a second, which
cost some hundredths of a processor, and TCP holds back the rest. A program that has queued a thousand calls too many
waits a second for what comes behind them, its heartbeats among it."""
