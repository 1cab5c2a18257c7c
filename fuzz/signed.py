"""Documents that are signed by an authority or a token which signs anything.

A stranger can sign nothing, so any bytes are refused for their signature. What is read behind it, only a mutated
payload shows, with a signature that holds.
"""

from collections.abc import Callable
from typing import TypeVar

from braidmq.errors import ProtocolError
from braidmq.trust.signed import SIGNATURE_BYTES, sign
from tests.support.tokens import SEED

T = TypeVar("T")

_NO_SIGNATURE = bytes(SIGNATURE_BYTES)


def read(data: bytes, domain: bytes, verify: Callable[[bytes], T], seed: bytes = SEED) -> T | None:
    """Return the document whose payload is `data`, or None; see that nobody else's is taken.

    Raises:
        AssertionError: what nobody has signed is taken for a document.
        Exception: something else than ProtocolError was raised.
    """
    for unsigned in (data, _NO_SIGNATURE + data):
        refused = False
        try:
            verify(unsigned)
        except ProtocolError:
            refused = True
        assert refused, "takes what nobody has signed"
    try:
        return verify(sign(domain, data, seed))
    except ProtocolError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 600, "repeats what somebody has said at length"
        return None
