"""Bounds of the HTTP gateway: whoever speaks HTTP to it is a stranger until a token or a certificate says otherwise."""

from typing import Final

HEAD_BYTES_MAX: Final = 32 * 1024
"""Largest head of a request, and most bytes between two pieces of a body: the headers that go on to a handler may fill
half of it, 16 KiB as in every request, and the rest is for what clients and proxies add."""

FIELDS_MAX: Final = 100
"""Most header fields of a request: clients send ten, proxies add ten more."""

REQUEST_S_MAX: Final = 10.0
"""Time for head and body of a request together, from its first byte on; and for a TLS handshake."""

IDLE_S_MAX: Final = 15.0
"""How long a connection may wait for its next request."""

ANSWER_S_MAX: Final = 10.0
"""Time that a caller has to take ANSWER_BYTES_MIN of an answer, and for the end of a connection."""

ANSWER_BYTES_MIN: Final = 64 * 1024
"""What a caller must take of its answers in that time, as long as there is more than that."""

CONNECTIONS_MAX: Final = 1_000
"""Most connections, those in their TLS handshakes among them: a new one takes the place of the one that has waited
longest, if there is one without a call."""

PIPELINED_MAX: Final = 16
"""Most requests that a connection may send ahead of their answers: it is closed when it sends more."""

HELD_BYTES_MAX: Final = 256 * 1024 * 1024
"""Most bytes of requests that come in or are under way: 256 payloads of the usual limit."""

HELD_BYTES_PER_CALLER_MAX: Final = 16 * 1024 * 1024
"""Those of one caller; one request may be larger if it is alone. A quarter of what a node lets wait for one broker by
default, so that a caller with large calls leaves room for those of others."""

UNREAD_BYTES_MAX: Final = 256 * 1024 * 1024
"""Most bytes of answers that callers do not take: beyond it the slowest of them is cut."""

CALLS_PER_CALLER: Final = 256
"""Calls that one caller has under way at once, if nothing else is said: what a broker lets one key have."""

CALLS_PER_CALLER_MAX: Final = 10_000
"""Most that may be said."""

CALLERS_MAX: Final = 1_000
"""Most callers in the file of callers: each may be a node of its own."""

TIMEOUT_S_MIN: Final = 0.001
"""Shortest timeout of a call."""

TIMEOUT_S_MAX: Final = 30.0
"""Longest timeout that a request may ask for, if nothing else is said: proxies and browsers wait for 30 to 60 s."""

KEY_CHARS_MAX: Final = 255
"""Longest Idempotency-Key: a UUID has 36."""

IDEMPOTENCY_S: Final = 600.0
"""How long the answer to a request with an Idempotency-Key is kept."""

IDEMPOTENCY_ENTRIES_MAX: Final = 10_000
"""Most requests that are remembered for their Idempotency-Key."""

IDEMPOTENCY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Most bytes of their answers."""

IDEMPOTENCY_ENTRY_BYTES: Final = 512
"""What an entry counts besides its answer's payload: keys, hash and headers."""

TOKEN_BYTES_MAX: Final = 4_096
"""Longest bearer token: JSON Web Tokens of some sizes fit. Longer ones are wrong without being hashed."""

RETRY_AFTER_S: Final = 1
"""What Retry-After says: a worker or a broker that is started again is back in about that time."""

COMPLAINTS_PER_S: Final = 5
"""Lines a second in the log about what callers do wrong; the others are counted."""
