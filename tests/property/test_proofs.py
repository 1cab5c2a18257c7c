"""Whatever a broker makes of a request and its reply: what a caller believes is what its worker said to its request."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from braidmq.core.call import Call
from braidmq.core.proofs import Checker, Prover
from braidmq.errors import ProtocolError
from braidmq.simulation.registry import keyring_of
from braidmq.wire.envelope import (
    REPLY,
    REQUEST,
    Envelope,
    Field,
    decode,
    decode_headers,
    encode,
    encode_headers,
    field_of,
)

NODES = {"worker": ("echo",), "client": ("echo",)}

bodies = st.binary(max_size=40)
headers = st.dictionaries(st.text("ab", max_size=2), st.text("ab", max_size=3), max_size=2)


@st.composite
def changed(draw: st.DrawFn, message: bytes) -> bytes:
    """What becomes of a message: bytes are changed, taken out and put in."""
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(message)))
        cut = draw(st.integers(0, 2))
        message = message[:at] + draw(st.binary(max_size=2)) + message[at + cut :]
    return len(message).to_bytes(4) + message[4:]  # any liar knows how long it is


@given(st.data())
def test_what_is_believed_was_said_to_the_same_request(data: Any) -> None:
    checker, prover = Checker(keyring_of("client", NODES), "client"), Prover(keyring_of("worker", NODES), "worker")
    extension = encode_headers(data.draw(headers)) + checker.field
    call = Call(data.draw(st.binary(min_size=16, max_size=16)), b"echo", data.draw(bodies), extension, 9.0, 3, None,
                None, 0)  # fmt: skip
    sent = Envelope(REQUEST, call.id, service=b"echo", sender=b"client", extension=extension, payload=call.payload)
    try:
        seen = decode(data.draw(changed(encode(sent))))
        seen_headers = decode_headers(seen.extension)
    except ProtocolError:
        return
    code, result = data.draw(st.integers(0, 1)), data.draw(bodies)
    reply = Envelope(REPLY, seen.id, sender=b"worker", code=code, payload=result)
    reply.extension = prover.prove(seen, code, result)
    try:
        got = decode(data.draw(changed(encode(reply))))
    except ProtocolError:
        return
    if checker.flaw_of(call, got):
        untouched = (seen, got) == (sent, reply)
        assert not untouched, "a proved reply is refused"
        return
    assert (got.code, got.payload, got.sender) == (code, result, b"worker")
    assert (seen.id, seen.service, seen.sender, seen.payload) == (call.id, b"echo", b"client", call.payload)
    assert seen_headers == decode_headers(extension)
    assert field_of(seen.extension, Field.PROOF) == field_of(extension, Field.PROOF)
