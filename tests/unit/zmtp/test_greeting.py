"""The greeting: RFC 37, "Formal Grammar" and "Version Negotiation"."""

import pytest

from braidmq.zmtp.greeting import GREETING_BYTES, check_greeting, greeting, understands_reasons
from braidmq.zmtp.violation import ForeignProtocol, LacksCurve, SpeaksHttp
from tests.support import zmtp


@pytest.mark.parametrize("is_server", [False, True])
def test_greeting_is_that_of_the_grammar(is_server):
    said = greeting(server=is_server)
    padding = bytes(8) if is_server else b"BRD1\r\n\r\n"
    assert said == b"\xff" + padding + b"\x7f\x03\x01" + b"CURVE" + bytes(15) + bytes((is_server,)) + bytes(31)
    assert len(said) == GREETING_BYTES
    check_greeting(said)


def test_every_beginning_of_a_greeting_may_become_one():
    for size in range(GREETING_BYTES):
        check_greeting(greeting(server=False)[:size])


@pytest.mark.parametrize("role", [0, 1, 255])
def test_role_is_not_looked_at(role):
    check_greeting(zmtp.greeting(role=role))


def test_padding_and_filler_are_not_looked_at():
    check_greeting(zmtp.greeting(padding=b"\x01" * 8)[:33] + b"\x02" * 31)


@pytest.mark.parametrize("version", [b"\x03\x00", b"\x03\x01", b"\x03\x02", b"\x04\x00", b"\xff\xff"])
def test_zmtp_3_0_and_whatever_is_higher_is_spoken_with(version):
    check_greeting(zmtp.greeting(version=version))


@pytest.mark.parametrize("major", [0, 1, 2])
def test_older_versions_are_refused_by_the_byte_that_says_so(major):
    said = zmtp.greeting(version=bytes((major, 0)))
    check_greeting(said[:10])
    with pytest.raises(ForeignProtocol, match=r"before 3\.0"):
        check_greeting(said[:11])


@pytest.mark.parametrize(
    "foreign",
    [
        b"\x01\x00",  # ZMTP 1.0 without an identity
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a ClientHello of TLS
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0",
        b"\x7f",
    ],
)
def test_other_protocols_are_refused_by_their_first_byte(foreign):
    with pytest.raises(ForeignProtocol, match="does not speak ZMTP"):
        check_greeting(foreign[:1])


@pytest.mark.parametrize("last", [0, 1, 0x7E, 0xFF])
def test_signature_that_is_none_is_refused(last):
    check_greeting(b"\xff" + bytes(8))
    with pytest.raises(ForeignProtocol, match="does not speak ZMTP"):
        check_greeting(b"\xff" + bytes(8) + bytes((last,)))


@pytest.mark.parametrize("mechanism", [b"NULL", b"PLAIN", b"GSSAPI", b"CURVE2", b"CURV", b"curve", b"", b" CURVE"])
def test_every_other_mechanism_is_refused(mechanism):
    with pytest.raises(ForeignProtocol, match="without CURVE"):
        check_greeting(zmtp.greeting(mechanism=mechanism))


def test_other_mechanism_is_refused_by_its_first_byte_that_is_wrong():
    said = zmtp.greeting(mechanism=b"CURVE" + bytes(14) + b"!")
    check_greeting(said[:31])
    with pytest.raises(ForeignProtocol, match="without CURVE"):
        check_greeting(said[:32])
    with pytest.raises(ForeignProtocol, match="without CURVE"):
        check_greeting(zmtp.greeting(mechanism=b"NULL")[:13])


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request", b"<!DOCTYPE HTML>", b"GET / HTTP/1.1", b"POST /", b"PRI * HTTP/2.0"]
)
def test_http_is_told_from_other_protocols(said):
    with pytest.raises(SpeaksHttp):
        check_greeting(said)


@pytest.mark.parametrize("said", [zmtp.greeting(version=b"\x02\x00"), zmtp.greeting(mechanism=b"NULL")])
def test_what_lacks_curve_is_told_from_other_protocols(said):
    with pytest.raises(LacksCurve):
        check_greeting(said)


def test_only_our_own_clients_say_that_they_understand_reasons():
    assert understands_reasons(greeting(server=False))
    assert not understands_reasons(greeting(server=True))
    assert not understands_reasons(zmtp.greeting())
