"""Metadata: RFC 37, "The NULL Security Mechanism", whose properties those of RFC 26 are."""

import pytest

from braidmq.zmtp.metadata import decode_metadata, encode_metadata
from braidmq.zmtp.violation import Violation
from tests.support import zmtp


def test_metadata_is_that_of_the_grammar():
    raw = encode_metadata({b"Socket-Type": b"DEALER", b"Identity": b""})
    assert raw == b"\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"
    assert decode_metadata(raw) == {b"socket-type": b"DEALER", b"identity": b""}


def test_there_may_be_none():
    assert encode_metadata({}) == b""
    assert decode_metadata(b"") == {}


@pytest.mark.parametrize("name", [b"SOCKET-TYPE", b"socket-type", b"sOcKeT-TyPe"])
def test_case_of_names_says_nothing(name):
    assert decode_metadata(zmtp.properties((name, b"x"))) == {b"socket-type": b"x"}


@pytest.mark.parametrize("name", [b"a", b"Z", b"0", b"X-_.+", b"a" * 255])
def test_names_of_the_grammar_are_read(name):
    assert decode_metadata(zmtp.properties((name, b"\0\xff"))) == {name.lower(): b"\0\xff"}


@pytest.mark.parametrize("name", [b"", b" ", b"a b", b"a\n", b"\xe4", b"a\0", b"a/b"])
def test_other_names_are_refused(name):
    with pytest.raises(Violation, match="malformed metadata"):
        decode_metadata(zmtp.properties((name, b"x")))


@pytest.mark.parametrize("size", range(1, len(zmtp.DEALER)))
def test_metadata_that_ends_within_a_property_is_refused(size):
    cut = zmtp.DEALER[:size]
    if cut == zmtp.properties((b"Socket-Type", b"DEALER")):
        return
    with pytest.raises(Violation, match="malformed metadata"):
        decode_metadata(cut)


def test_what_is_behind_the_last_property_is_refused():
    with pytest.raises(Violation, match="malformed metadata"):
        decode_metadata(zmtp.DEALER + b"\x01")


@pytest.mark.parametrize("size", [6, 2**8 + 5, 2**16 + 5, 2**24 + 5, 2**31, 2**32 - 1])
def test_value_longer_than_what_has_come_is_refused(size):
    with pytest.raises(Violation, match="malformed metadata"):
        decode_metadata(b"\x01a" + size.to_bytes(4, "big") + b"value")


@pytest.mark.parametrize("name", [b"Socket-Type", b"socket-type", b"SOCKET-TYPE"])
def test_property_that_is_said_twice_is_refused(name):
    with pytest.raises(Violation, match="twice"):
        decode_metadata(zmtp.properties((b"Socket-Type", b"DEALER"), (name, b"ROUTER")))
