"""CURVE's handshake against peers by hand, who may say anything, well sealed: RFC 26, "CurveZMQ Commands"."""

import pytest
from nacl.bindings import crypto_box, crypto_box_easy_afternm, crypto_box_open

from braidmq.zmtp.handshake import ClientHandshake, ServerHandshake, refusal
from braidmq.zmtp.violation import Refusal, Violation, WrongKey
from tests.support.zmtp import (
    CLIENT,
    DEALER,
    ROUTER,
    SERVER,
    SMALL_ORDER,
    STRANGER,
    HandClient,
    HandServer,
    draws,
    number,
    pair,
    properties,
    welcome_all,
)


def serving(authorise=welcome_all, *, name="server's"):
    return ServerHandshake(SERVER, authorise, draws(name))


def calling(*, to=SERVER.public):
    return ClientHandshake(CLIENT, to, draws("client's"))


def welcomed(handshake, hand=None):
    """Lead a server as far as its WELCOME."""
    hand = hand or HandClient()
    hand.on_welcome(handshake.on_command(hand.hello()))
    return hand


def initiated(handshake):
    """Lead a client as far as its INITIATE."""
    hand = HandServer()
    hand.on_hello(handshake.begin())
    hand.on_initiate(handshake.on_command(hand.welcome()))
    return hand


def end_of(handshake):
    """Return what a handshake has led to."""
    assert handshake.agreed is not None
    return handshake.agreed


def asked_nobody(_key):
    raise AssertionError("nobody is to be asked before the key is proven")


def refuses(handshake, command, reason, error=Violation):
    """Whether a command is refused, and everything after it, without a session and without an answer."""
    with pytest.raises(error, match=reason):
        handshake.on_command(command)
    assert handshake.agreed is None
    for again in (command, HandClient().hello(), b"\x05ERROR\x00", b""):
        with pytest.raises(Violation, match="after the end of the handshake"):
            handshake.on_command(again)
    assert handshake.agreed is None
    return True


# -- both sides


def test_engines_sides_agree():
    here, there = serving(), calling()
    assert here.begin() == b""
    welcome = here.on_command(there.begin())
    ready = here.on_command(there.on_command(welcome))
    assert there.on_command(ready) == b""
    assert end_of(here).key == end_of(there).key
    assert (end_of(here).sent, end_of(here).got) == (end_of(there).got, end_of(there).sent) == (1, 2)
    assert end_of(here).principal == CLIENT.public.hex()[:8]
    assert end_of(there).principal == ""


def test_lengths_are_those_of_the_grammar():
    here, there = serving(), calling()
    hello = there.begin()
    welcome = here.on_command(hello)
    initiate = there.on_command(welcome)
    ready = here.on_command(initiate)
    assert [len(each) for each in (hello, welcome, initiate, ready)] == [200, 168, 257 + len(DEALER), 30 + len(ROUTER)]


@pytest.mark.parametrize(
    ("server", "client", "common"),
    [
        ({b"x-a": b"1"}, {b"x-a": b"1"}, {b"x-a": b"1"}),
        ({b"x-a": b"1", b"x-b": b"2"}, {b"x-b": b"2", b"x-c": b"3"}, {b"x-b": b"2"}),
        ({b"x-a": b"1"}, {b"x-a": b"2"}, {}),
        ({b"x-a": b"1"}, {}, {}),
        ({}, {b"x-a": b"1"}, {}),
        (None, None, {}),
    ],
)
def test_both_sides_know_what_they_have_told_alike(server, client, common):
    here = ServerHandshake(SERVER, welcome_all, draws("server's"), server)
    there = ClientHandshake(CLIENT, SERVER.public, draws("client's"), properties=client)
    there.on_command(here.on_command(there.on_command(here.on_command(there.begin()))))
    assert end_of(here).common == end_of(there).common == common


def test_what_is_told_stands_behind_what_zmtp_wants():
    here = ServerHandshake(SERVER, welcome_all, draws("server's"), {b"x-a": b"1"})
    hand = welcomed(here)
    ready = here.on_command(hand.initiate(metadata=DEALER + properties((b"X-A", b"1"), (b"X-Other", b"2"))))
    assert end_of(here).common == {b"x-a": b"1"}
    box = crypto_box_open(ready[14:], b"CurveZMQREADY---" + ready[6:14], hand.server_short, hand.short.secret)
    assert box == ROUTER + properties((b"x-a", b"1"))


def test_each_handshake_has_keys_and_nonces_of_its_own():
    """Of what is random, nothing stands in two handshakes: C', S', cookies, nonces of WELCOME, cookie and vouch."""
    seen = set()
    for name in ("one", "two"):
        here, there = serving(name=name), ClientHandshake(CLIENT, SERVER.public, draws(f"{name}'s"))
        hello = there.begin()
        welcome = here.on_command(hello)
        initiate = there.on_command(welcome)
        for each in (hello[80:112], welcome[8:24], initiate[9:25], initiate[25:105]):
            assert each not in seen
            seen.add(each)
        assert here.agreed is None
        here.on_command(initiate)
        assert end_of(here).key not in seen
        seen.add(end_of(here).key)


def test_random_is_asked_for_as_much_as_rfc_26_wants():
    asked = []

    def random(size):
        asked.append(size)
        return bytes((len(asked),)) * size

    here, there = ServerHandshake(SERVER, welcome_all, random), ClientHandshake(CLIENT, SERVER.public, random)
    here.on_command(there.on_command(here.on_command(there.begin())))
    assert asked == [32, 32, 32, 16, 16, 16]  # c', s', cookie key, nonces of cookie, WELCOME and vouch


# -- a server and its HELLO


def test_server_takes_a_client_made_by_hand():
    handshake = serving()
    hand = welcomed(handshake)
    assert handshake.agreed is None
    ready = handshake.on_command(hand.initiate())
    assert ready.startswith(b"\x05READY" + number(1))
    assert end_of(handshake).principal == CLIENT.public.hex()[:8]


def test_nothing_of_a_client_is_kept_between_welcome_and_initiate_but_a_key():
    """RFC 26: "The server SHALL not keep this transient key pair"."""
    drawn = []
    source = draws("s'")

    def random(size):
        drawn.append(source(size))
        return drawn[-1]

    handshake = ServerHandshake(SERVER, welcome_all, random)
    hand = welcomed(handshake)
    kept = [handshake._awaited, bytes(handshake._cookie_key), handshake._got, handshake._pair, handshake.agreed]
    assert drawn[1] in kept
    assert drawn[0] not in kept
    assert hand.short.public not in kept
    handshake.on_command(hand.initiate())
    assert handshake._cookie_key == bytes(32)


@pytest.mark.parametrize("command", [b"\x05HELLo", b"\x05READY", b"\x05ERROR", b"\x04HELL", b"\x06HELLO", b"HELLO\x05"])
def test_command_that_is_no_hello_is_refused(command):
    assert refuses(serving(), HandClient().hello(command=command), "not a HELLO")


@pytest.mark.parametrize("size", [0, 1, 6, 7, 199])
def test_hello_that_is_too_short_is_refused(size):
    assert refuses(serving(), HandClient().hello()[:size], "not a HELLO")


def test_hello_with_something_behind_it_is_refused():
    assert refuses(serving(), HandClient().hello(behind=b"\0"), "not a HELLO")


@pytest.mark.parametrize("version", [b"\x00\x00", b"\x01\x01", b"\x02\x00", b"\x00\x01"])
def test_hello_of_another_version_is_refused(version):
    assert refuses(serving(), HandClient().hello(version=version), "another version")


def test_padding_of_hello_is_not_looked_at():
    assert welcomed(serving()).cookie
    assert serving().on_command(HandClient().hello(padding=b"\xff" * 72))


def test_hello_to_another_server_is_refused():
    """Its client holds another key of the server's: the wrong one."""
    assert refuses(serving(), HandClient(to=STRANGER.public).hello(), "does not open", WrongKey)


@pytest.mark.parametrize("zeros", [b"\x01" + bytes(63), bytes(63) + b"\x80"])
def test_hello_whose_box_is_not_of_zeros_is_refused(zeros):
    assert refuses(serving(), HandClient().hello(zeros=zeros), "not of zeros")


def test_hello_with_somebody_elses_transient_key_is_refused():
    assert refuses(serving(), HandClient().hello(public=STRANGER.public), "does not open", WrongKey)


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_hello_with_a_transient_key_of_small_order_is_refused(public):
    assert refuses(serving(), HandClient().hello(public=public), "small order", WrongKey)


def test_hello_whose_nonce_was_changed_is_refused():
    hello = bytearray(HandClient().hello())
    hello[119] ^= 1
    assert refuses(serving(), bytes(hello), "does not open", WrongKey)


def test_second_hello_is_refused():
    handshake = serving()
    hand = welcomed(handshake)
    assert refuses(handshake, hand.hello(nonce=2), "not an INITIATE")


# -- a server and its INITIATE


def test_initiate_before_hello_is_refused():
    other = serving()
    hand = welcomed(other)
    assert refuses(serving(), hand.initiate(), "not a HELLO")


@pytest.mark.parametrize("command", [b"\x08INITIATe", b"\x07MESSAGE\0", b"\x05READY\0\0\0"])
def test_command_that_is_no_initiate_is_refused(command):
    handshake = serving(asked_nobody)
    assert refuses(handshake, welcomed(handshake).initiate(command=command), "not an INITIATE")


@pytest.mark.parametrize("size", [0, 9, 105, 113, 129, 256])
def test_initiate_that_is_too_short_is_refused(size):
    handshake = serving(asked_nobody)
    assert refuses(handshake, welcomed(handshake).initiate()[:size], "not an INITIATE")


def test_initiate_that_was_cut_is_refused():
    handshake = serving(asked_nobody)
    assert refuses(handshake, welcomed(handshake).initiate()[:-1], "does not open", WrongKey)


def test_initiate_with_something_behind_it_is_refused():
    handshake = serving(asked_nobody)
    assert refuses(handshake, welcomed(handshake).initiate() + b"\0", "does not open", WrongKey)


def test_handshake_that_was_recorded_is_refused_on_another_connection():
    """All that a client has said is said once more to the same server, which draws anew."""
    first = serving(name="one")
    hand = HandClient()
    recorded = [hand.hello()]
    hand.on_welcome(first.on_command(recorded[0]))
    recorded.append(hand.initiate())
    first.on_command(recorded[1])
    assert first.agreed is not None
    again = serving(asked_nobody, name="two")
    again.on_command(recorded[0])
    assert refuses(again, recorded[1], "does not open", WrongKey)


def test_cookie_of_another_connection_is_refused():
    """The client knows both sessions, and takes the secrets of one to the other with a box that opens there."""
    first, second = serving(name="one"), serving(asked_nobody, name="two")
    hand = HandClient()
    welcomed(first, hand)
    cookie = hand.cookie
    welcomed(second, hand)
    assert refuses(second, hand.initiate(cookie=cookie), "does not open", WrongKey)


def test_cookie_that_was_changed_is_refused():
    handshake = serving(asked_nobody)
    hand = welcomed(handshake)
    cookie = bytearray(hand.cookie)
    cookie[-1] ^= 1
    assert refuses(handshake, hand.initiate(cookie=bytes(cookie)), "does not open", WrongKey)


def test_cookie_of_the_clients_own_is_refused_whenever_it_comes():
    """A server that has forgotten its cookie key must not take zeros for it: the client would choose s' itself.

    Who knows s' can vouch in the name of every client, as the vouch is sealed between C and S'.
    """
    victim, own = STRANGER, pair("s' of the client's own")
    handshake = serving(asked_nobody)
    hand = welcomed(handshake)
    hand.server_short = own.public
    nonce = bytes(16)
    inner = hand.short.public + own.secret
    hand.cookie = nonce + crypto_box_easy_afternm(inner, b"COOKIE--" + nonce, bytes(32))
    vouched = hand.short.public + SERVER.public
    vouch = nonce + crypto_box(vouched, b"VOUCH---" + nonce, victim.public, own.secret)
    forged = hand.initiate(public=victim.public, vouch=vouch)
    assert refuses(handshake, forged, "does not open", WrongKey)
    refused = serving(lambda _key: no_entry("400"))
    honest = welcomed(refused)
    with pytest.raises(Refusal):
        refused.on_command(honest.initiate())
    with pytest.raises(Violation, match="after the end"):
        refused.on_command(forged)


def no_entry(status):
    raise Refusal(status)


@pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 1), (2**64 - 1, 0), (7, 7)])
def test_initiate_whose_nonce_is_used_or_lower_is_refused(first, second):
    handshake = serving(asked_nobody)
    hand = HandClient()
    hand.on_welcome(handshake.on_command(hand.hello(nonce=first)))
    assert refuses(handshake, hand.initiate(nonce=second), "nonce is used")


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 2), (1, 2**64 - 1), (2**63, 2**63 + 1)])
def test_nonces_may_begin_anywhere_and_leave_some_out(first, second):
    handshake = serving()
    hand = HandClient()
    hand.on_welcome(handshake.on_command(hand.hello(nonce=first)))
    handshake.on_command(hand.initiate(nonce=second))
    assert end_of(handshake).got == second


def test_vouch_for_another_transient_key_is_refused():
    handshake = serving(asked_nobody)
    hand = welcomed(handshake)
    assert refuses(handshake, hand.initiate(vouch=hand.vouch(short=STRANGER.public)), "vouch for other keys", WrongKey)


def test_vouch_for_another_server_is_refused():
    """A server whose client comes to it cannot go on to this one in its name."""
    handshake = serving(asked_nobody)
    hand = welcomed(handshake)
    assert refuses(handshake, hand.initiate(vouch=hand.vouch(server=STRANGER.public)), "vouch for other keys", WrongKey)


def test_vouch_by_another_key_is_refused():
    """Whoever names the key of another client cannot vouch with it."""
    handshake = serving(asked_nobody)
    hand = welcomed(handshake)
    assert refuses(handshake, hand.initiate(public=STRANGER.public), "does not open", WrongKey)
    handshake = serving(asked_nobody)
    hand = welcomed(handshake)
    assert refuses(handshake, hand.initiate(vouch=hand.vouch(by=STRANGER.secret)), "does not open", WrongKey)


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_client_whose_key_is_of_small_order_is_refused(public):
    handshake = serving(asked_nobody)
    assert refuses(handshake, welcomed(handshake).initiate(public=public), "small order", WrongKey)


@pytest.mark.parametrize(
    "metadata",
    [b"", properties((b"Identity", b"me")), properties((b"Socket-Type", b"dealer")), properties((b"Socket-Type", b""))]
    + [
        properties((b"Socket-Type", kind)) for kind in (b"ROUTER", b"REQ", b"REP", b"SUB", b"PUSH", b"PAIR", b"DEALERS")
    ],
)
def test_client_that_is_no_dealer_is_refused(metadata):
    handshake = serving(asked_nobody)
    assert refuses(handshake, welcomed(handshake).initiate(metadata=metadata), "no DEALER")


@pytest.mark.parametrize("metadata", [DEALER + b"\0", DEALER[:-1], b"\xff"])
def test_client_with_malformed_metadata_is_refused(metadata):
    handshake = serving(asked_nobody)
    assert refuses(handshake, welcomed(handshake).initiate(metadata=metadata), "malformed metadata")


def test_client_may_tell_more_of_itself():
    handshake = serving()
    more = properties((b"Identity", b"\x01" * 255), (b"X-Version", b"7"), (b"Resource", b"a/b"))
    handshake.on_command(welcomed(handshake).initiate(metadata=DEALER[: -len(b"\x08Identity\0\0\0\0")] + more))
    assert handshake.agreed is not None


@pytest.mark.parametrize("status", ["300", "400", "500"])
def test_who_is_not_let_in_is_told_so(status):
    asked = []

    def authorise(key):
        asked.append(key)
        raise Refusal(status)

    handshake = serving(authorise)
    hand = welcomed(handshake)
    with pytest.raises(Refusal) as refused:
        handshake.on_command(hand.initiate())
    assert asked == [CLIENT.public]
    assert refused.value.status == status
    assert handshake.agreed is None
    assert refusal(status) == b"\x05ERROR\x03" + status.encode()


def test_second_initiate_is_refused():
    handshake = serving()
    hand = welcomed(handshake)
    handshake.on_command(hand.initiate())
    with pytest.raises(Violation, match="after the end"):
        handshake.on_command(hand.initiate(nonce=3))


# -- a client


def test_client_takes_a_server_made_by_hand():
    handshake = calling()
    hand = initiated(handshake)
    assert handshake.agreed is None
    assert handshake.on_command(hand.ready()) == b""
    assert (end_of(handshake).sent, end_of(handshake).got) == (2, 1)


def test_secrets_of_a_session_are_overwritten_when_it_has_its_key():
    handshake = calling()
    secret = bytes(handshake._secret)
    initiated(handshake)
    assert secret not in (bytes(32), bytes(handshake._secret))
    assert handshake._secret == bytes(32)


def test_client_of_another_server_sends_it_a_hello_that_does_not_open():
    with pytest.raises(WrongKey):
        serving().on_command(calling(to=STRANGER.public).begin())


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_client_has_no_server_whose_key_is_of_small_order(public):
    with pytest.raises(WrongKey, match="small order"):
        calling(to=public)


@pytest.mark.parametrize("command", [b"\x07WELCOMe", b"\x05READY\0\0", b"\x07MESSAGE"])
def test_command_that_is_no_welcome_is_refused(command):
    handshake, hand = calling(), HandServer()
    hand.on_hello(handshake.begin())
    assert refuses(handshake, hand.welcome(command=command), "not a WELCOME")


@pytest.mark.parametrize("size", [0, 1, 8, 24, 167])
def test_welcome_that_is_too_short_is_refused(size):
    handshake, hand = calling(), HandServer()
    hand.on_hello(handshake.begin())
    assert refuses(handshake, hand.welcome()[:size], "not a WELCOME")


def test_welcome_with_something_behind_it_is_refused():
    handshake, hand = calling(), HandServer()
    hand.on_hello(handshake.begin())
    assert refuses(handshake, hand.welcome(behind=b"\0"), "not a WELCOME")


def test_welcome_of_another_server_is_refused():
    handshake, hand = calling(), HandServer()
    hand.on_hello(handshake.begin())
    hand.keys = STRANGER
    assert refuses(handshake, hand.welcome(), "does not open", WrongKey)


def test_welcome_of_another_connection_is_refused():
    recorded = serving(name="one").on_command(ClientHandshake(CLIENT, SERVER.public, draws("another")).begin())
    handshake = calling()
    handshake.begin()
    assert refuses(handshake, recorded, "does not open", WrongKey)


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_welcome_with_a_transient_key_of_small_order_is_refused(public):
    handshake, hand = calling(), HandServer()
    hand.on_hello(handshake.begin())
    assert refuses(handshake, hand.welcome(short=public), "small order", WrongKey)


def test_ready_before_welcome_is_refused():
    handshake, hand = calling(), HandServer()
    hand.on_hello(handshake.begin())
    assert refuses(handshake, hand.ready(), "not a WELCOME")


def test_second_welcome_is_refused():
    handshake = calling()
    assert refuses(handshake, initiated(handshake).welcome(), "not a READY")


@pytest.mark.parametrize("command", [b"\x05READy", b"\x06READY"])
def test_command_that_is_no_ready_is_refused(command):
    handshake = calling()
    assert refuses(handshake, initiated(handshake).ready(command=command), "not a READY")


@pytest.mark.parametrize("size", [0, 6, 14, 29])
def test_ready_that_is_too_short_is_refused(size):
    handshake = calling()
    assert refuses(handshake, initiated(handshake).ready()[:size], "not a READY")


@pytest.mark.parametrize("changed", [lambda ready: ready[:-1], lambda ready: ready + b"\0"])
def test_ready_of_another_length_is_refused(changed):
    handshake = calling()
    assert refuses(handshake, changed(initiated(handshake).ready()), "does not open", WrongKey)


def test_ready_of_another_session_is_refused():
    handshake = calling()
    hand = initiated(handshake)
    hand.short = pair("another")
    assert refuses(handshake, hand.ready(), "does not open", WrongKey)


@pytest.mark.parametrize("metadata", [b"", DEALER, properties((b"Socket-Type", b"REP"))])
def test_server_that_is_no_router_is_refused(metadata):
    handshake = calling()
    assert refuses(handshake, initiated(handshake).ready(metadata=metadata), "no ROUTER")


def test_server_with_malformed_metadata_is_refused():
    handshake = calling()
    assert refuses(handshake, initiated(handshake).ready(metadata=ROUTER[:-1]), "malformed metadata")


@pytest.mark.parametrize("nonce", [0, 1, 77, 2**64 - 1])
def test_servers_nonces_may_begin_anywhere(nonce):
    handshake = calling()
    handshake.on_command(initiated(handshake).ready(nonce=nonce))
    assert end_of(handshake).got == nonce


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (b"300", "300"),
        (b"400", "400"),
        (b"500", "500"),
        (b"", ""),
        (b"200", ""),
        (b"4000", ""),
        (b"40", ""),
        (b"no!", ""),
        (b"x" * 255, ""),
        (b"\xb2\xb3\xb9", ""),
    ],
)
def test_error_is_a_refusal_with_a_status_if_it_has_one(reason, status, late):
    handshake = calling()
    if late:
        initiated(handshake)
    with pytest.raises(Refusal) as refused:
        handshake.on_command(b"\x05ERROR" + bytes((len(reason),)) + reason)
    assert refused.value.status == status
    with pytest.raises(Violation, match="after the end"):
        handshake.on_command(b"\x05ERROR\x00")


@pytest.mark.parametrize("error", [b"\x05ERROR", b"\x05ERROR\x04400", b"\x05ERROR\x02400", b"\x05ERROR\x03400\0"])
def test_malformed_error_is_refused(error):
    assert refuses(calling(), error, "malformed ERROR")


def test_error_of_a_client_is_refused():
    assert refuses(serving(), b"\x05ERROR\x03400", "not a HELLO")
    handshake = serving(asked_nobody)
    welcomed(handshake)
    assert refuses(handshake, b"\x05ERROR\x03400", "not an INITIATE")
