"""Bounds of BRAID/1 that no setting can raise. Each has its reason; docs/protocol.md repeats them."""

from typing import Final

from braidmq.bounds import PAYLOAD_BYTES_MAX

BUNDLE_BYTES: Final = 64 * 1024
"""A bundle is closed once it holds this much. Larger ones gain nothing (the fixed price of a frame is spread
already) and delay what follows."""

MESSAGE_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + 256 * 1024
"""Largest message: the largest payload that a setting allows, with its envelope."""

EXTENSION_BYTES_MAX: Final = 0xFFFF
"""Largest extension block: its length field has 16 bits."""

FIELDS_MAX: Final = 64
"""Most fields of an extension block that a reader looks at. A block of empty ones would hold 21,845, and take each of
its readers some milliseconds, as much as a thousand honest messages."""

HEADERS_BYTES_MAX: Final = 16 * 1024
"""Largest set of headers, encoded. They are for tracing and routing hints, not for payload."""

CONTROL_BYTES_MAX: Final = 4 * 1024 * 1024
"""Largest control message. A list of 1,000 brokers with their certificates fits."""

TEXT_CHARS_MAX: Final = 255
"""Longest text in a control message: one line that says what runs there, or why not."""

SERVICE_ROWS_MAX: Final = 100_000
"""Most services in one control message, far more than any broker may know."""

CLAIMS_ASKED_MAX: Final = 32
"""Names that one STATUS asks for: it stays below what a broker takes as a control message of a node."""

ROUTE_BYTES: Final = 16
"""Length of what a carrier names a connection by. The first byte is never 0."""

BROKERS_MAX: Final = 1_024
"""Brokers of a net. Each is connected to every other one, and a broker has as many descriptors for its sockets."""
