"""What the Malamute bridge holds at most, and for how long. See also `bridges/limits.py`."""

from typing import Final

_MIB: Final = 1024 * 1024

SILENCE_S_MAX: Final = 10.0
"""After so long without a word a session is forgotten: clients send a PING each second."""

QUIET_S: Final = 3.0
"""A client that heard nothing for 4 s drops mail until a PONG comes: one goes ahead of what is delivered after this."""

LATE_S: Final = 2.0
"""A client whose PING is so late was stopped for a while, and may take its server for gone as soon as it goes on."""

HELD_S_MAX: Final = 5.0
"""How long messages are held that a client has sent before its OPEN: an OPEN follows at once, or not at all."""

HELD_BYTES_PER_PEER_MAX: Final = 1 * _MIB
"""Bytes that are held for one connection until it opens."""

HELD_BYTES_MAX: Final = 64 * _MIB
"""Bytes that are held for all connections until they open."""

MAIL_S_MAX: Final = 60.0
"""How long mail is kept for an address that nobody has opened: a program that is started anew finds it."""

MAIL_PER_ADDRESS_MAX: Final = 1_000
"""Mail that is kept for one address, and of one sender for all of them: later mail is dropped."""

MAIL_BYTES_PER_ADDRESS_MAX: Final = 1 * _MIB
"""Bytes of mail that are kept for one address, and of one sender for all of them."""

MAIL_BYTES_MAX: Final = 64 * _MIB
"""Bytes of mail that are kept for all addresses."""

OFFERS_MAX: Final = 4_096
"""Patterns that are offered at one bridge: each may take some kilobytes."""

OFFERS_PER_PEER_MAX: Final = 64
"""Services and patterns that one connection offers, and as many that it was denied: programs offer some."""

LEFT_CALLS_MAX: Final = 10_000
"""Calls that go on although their connection has ended, for their answer may be kept as mail. Beyond, the one that was
left first is cancelled."""
