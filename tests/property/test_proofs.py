"""Whatever a broker makes of a request and its reply: what a caller believes is what its worker said to its request."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from braidmq.core.client.call import Call
from braidmq.core.proofs import Checker, Prover
from braidmq.errors import ProtocolError
from braidmq.lab.simulation.registry import keyring_of
from braidmq.wire.envelope import REPLY, REQUEST, Envelope, decode, encode
from braidmq.wire.extension import Field, decode_headers, encode_headers, field_of

NODES = {"worker": ("echo",), "client": ("echo",)}

CALLER, WORKER = keyring_of("client", NODES), keyring_of("worker", NODES)

bodies = st.binary(max_size=40)
headers = st.dictionaries(st.text("ab", max_size=2), st.text("ab", max_size=3), max_size=2)


@dataclass
class Exchange:
    """A call, and what becomes of it where a broker may change each message."""

    call: Call
    result: bytes
    code: int

    def holds(self, on_request: Callable[[bytes], bytes], on_reply: Callable[[bytes], bytes]) -> bool | None:
        """Whether the caller believes the reply; None if nothing well-formed has come so far.

        What it believes must be what the worker said, and that to the very request.
        """
        call, checker = self.call, Checker(CALLER, "client")
        sent = Envelope(
            REQUEST, call.id, service=call.service, sender=b"client", extension=call.extension, payload=call.payload
        )
        try:
            seen = decode(on_request(encode(sent)))
            seen_headers = decode_headers(seen.extension)
            reply = Envelope(REPLY, seen.id, sender=b"worker", code=self.code, payload=self.result)
            reply.extension = Prover(WORKER, "worker").prove(seen, self.code, self.result)
            got = decode(on_reply(encode(reply)))
        except ProtocolError:
            return None
        if checker.flaw_of(call, got):
            return False
        assert (got.code, got.payload, got.sender) == (self.code, self.result, b"worker")
        assert (seen.id, seen.service, seen.sender, seen.payload) == (call.id, b"echo", b"client", call.payload)
        assert seen_headers == decode_headers(call.extension)
        assert field_of(seen.extension, Field.PROOF) == CALLER.public_key
        return True


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    extension = encode_headers(draw(headers)) + Checker(CALLER, "client").field
    id_ = draw(st.binary(min_size=16, max_size=16))
    call = Call(id_, b"echo", draw(bodies), extension, 9.0, 3, None, None, 0, 0.0)
    return Exchange(call, draw(bodies), draw(st.integers(0, 1)))


@st.composite
def changes(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """How a liar changes a message: bytes are changed, taken out and put in; lengths are those that come of it."""
    edits = draw(st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=2), st.integers(0, 2)), max_size=2))

    def change(message: bytes) -> bytes:
        for where, put_in, cut in edits:
            at = int(where * len(message))
            message = message[:at] + put_in + message[at + cut :]
        return len(message).to_bytes(4) + message[4:]

    return change


@given(exchanges(), changes(), changes())
def test_what_is_believed_was_said_to_the_same_request(exchange: Exchange, on_request: Any, on_reply: Any) -> None:
    exchange.holds(on_request, on_reply)


@given(exchanges())
@settings(max_examples=10)
def test_no_changed_byte_passes(exchange: Exchange) -> None:
    """Those that pass are of fields that nothing hangs on: `holds` looks at all others."""
    assert exchange.holds(bytes, bytes)

    def flipped(at: int, bit: int) -> Callable[[bytes], bytes]:
        return lambda message: message[:at] + bytes((message[at] ^ bit,)) + message[at + 1 :]

    for bit in (1, 0x80):
        for at in range(10_000):
            try:
                exchange.holds(flipped(at, bit), bytes)
            except IndexError:
                break
        for at in range(10_000):
            try:
                exchange.holds(bytes, flipped(at, bit))
            except IndexError:
                break
