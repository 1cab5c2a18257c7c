"""Bounds and times of the zgossip bridge. Whoever reaches its endpoint is a stranger, and nothing of theirs grows."""

from typing import Final

PEERS_MAX: Final = 100
"""Peers that are sent news: each change is sent to all of them."""

SILENCE_S: Final = 60.0
"""After so much silence a peer that has come loses its place to another one if all are taken. Until then, and where
there is room, silence is no reason to forget it: libczmq's nodes say nothing unless they have news."""

TUPLES_MAX: Final = 10_000
"""Foreign tuples that are kept."""

TUPLE_BYTES_MAX: Final = 32 * 1024 * 1024
"""Keys and values of all foreign tuples together: 10,000 of 3 KiB, or 500 of the longest."""

KEY_BYTES_MAX: Final = 255
"""Longest key: the protocol counts its bytes in one octet."""

VALUE_BYTES_MAX: Final = 64 * 1024
"""Longest value. Endpoints and the like are short; the protocol would allow 4 GiB."""

CHANGES_PER_S_MAX: Final = 1_000
"""Changes of foreign tuples that one connection may bring in a second; what it brings above that is dropped."""

CHANGES_AT_ONCE_MAX: Final = TUPLES_MAX
"""Changes that one connection may bring at once: a node that connects tells all it knows."""

PASS_S: Final = 0.1
"""Changes are passed on at most so often, each key with its newest value: so no key is sent more than ten times a
second."""

PASSED_AT_ONCE_MAX: Final = 2_000
"""Tuples that are sent at once, to all peers together: some milliseconds of work."""

PASSED_BYTES_AT_ONCE_MAX: Final = 4 * 1024 * 1024
"""Likewise their bytes. Of the longest, each peer that waits gets one all the same."""

PASSED_TO_PEER_MAX: Final = 500
"""Tuples that one peer is sent at once: half of what its connection holds for it (MESSAGES_UNREAD_MAX)."""

FLIPS_PER_S_MAX: Final = 10
"""How often a foreign key may change in a second. Two values that cross are exchanged between two nodes for ever, a
thousand times a second."""

MUTE_S: Final = 10.0
"""For so long a key that has changed too often is settled, and not listened to."""

CROSSING_S: Final = 0.3
"""Two values of a foreign key that come from two sides within this time may have crossed on their way: PASS_S, and the
latency there and back. Between two bridges each would take the other's, and both would be quiet."""

DISPUTE_S: Final = 1.0
"""How often at most an own key that others have written to is published again."""

OWN_TUPLES_MAX: Final = 10_000
"""Tuples that this bridge publishes: a net with more services than that is told of in part."""

GONE_MAX: Final = OWN_TUPLES_MAX
"""Keys of this bridge that it says are gone: all that it has published fit. Of more of them, as others have made them
up, the oldest are forgotten: whoever still believes in one hears that it is gone when he says so."""

GIVEN_MAX: Final = 1_000
"""Keys that members have published through this bridge, and have not taken back."""

GIVEN_PER_MEMBER_MAX: Final = GIVEN_MAX // 4
"""Those of one member: it leaves room for others."""

REMOTES_MAX: Final = 32
"""Nodes that this bridge connects to. Gossip goes on from each: one or two are enough."""

PING_S: Final = 0.3
"""How often a node that this bridge is connected to is asked for a sign of life: it forgets a peer after a second of
silence."""

HELLO_S: Final = 1.0
"""How often at most a node is told everything: that one has come again, or says that it does not know this bridge."""

ABSENT_S: Final = 60.0
"""After so long without a word of it from any broker, another bridge is taken for gone: its keys are written over."""

LOOK_S: Final = 0.2
"""How often the bridge looks whether brokers, services or bridges have come or gone: whoever reads that is slower."""

OBSERVE_S: Final = 20.0
"""How often brokers are asked who is connected to them: three times before a bridge counts as gone."""

OBSERVE_TIMEOUT_S: Final = 5.0
"""How long their reports may take."""

RECONNECT_S_MAX: Final = 5.0
"""Longest pause between two attempts to reach a node; they begin at a tenth of a second."""
