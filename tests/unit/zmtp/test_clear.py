"""ZMTP without keys: what peers may say, what ends them, and what is kept of what they say."""

import pytest

from braidmq.zmtp.clear import COMMAND_BYTES_MAX, DEALER, PARTS_AT_ONCE, ROUTER, ClearEngine, encode
from braidmq.zmtp.framing import HANDSHAKE_BYTES_MAX
from braidmq.zmtp.violation import ForeignProtocol, Refusal, Violation

BYTES_MAX, FRAMES_MAX = 1_000, 8

USERS = {b"shop": b"secret", b"": b"nobody"}


def admits(user, password):
    return USERS.get(user) == password


def engine(kind=ROUTER, **options):
    return ClearEngine(kind, bytes_max=BYTES_MAX, frames_max=FRAMES_MAX, **options)


def greeting(mechanism=b"NULL", *, signature=b"\xff" + bytes(8) + b"\x7f", version=b"\3\1"):
    return signature + version + mechanism.ljust(20, b"\0") + bytes(32)


def command(name, told=b"", *, long=False):
    body = bytes((len(name),)) + name + told
    return (b"\6" + len(body).to_bytes(8) if long or len(body) > 255 else bytes((4, len(body)))) + body


def ready(kind=b"DEALER", *more):
    properties = [(b"Socket-Type", kind), (b"Identity", b""), *more]
    told = b"".join(bytes((len(name),)) + name + len(value).to_bytes(4) + value for name, value in properties)
    return command(b"READY", told)


def hello(user, password):
    return command(b"HELLO", bytes((len(user),)) + user + bytes((len(password),)) + password)


def heard(made, data, step=0):
    """Feed an engine with data, all at once or in steps, and return its messages."""
    found = []
    step = step or max(len(data), 1)
    for at in range(0, len(data), step):
        made.feed(data[at : at + step])
        while (frames := made.next()) is not None:
            found.append(frames)
    return found


def opened(**options):
    made = engine(**options)
    assert heard(made, greeting() + ready()) == []
    assert made.open
    made.output.clear()
    return made


@pytest.mark.parametrize("step", [0, 1, 7, 64])
def test_two_engines_understand_each_other(step):
    near, far = engine(ROUTER), engine(DEALER)
    sent = [[b""], [b"", b"x" * 255], [b"y" * 256, b"", b"z"], [b"a"] * FRAMES_MAX, [b"b" * BYTES_MAX]]
    for _ in range(3):
        for sender, receiver in ((near, far), (far, near)):
            data = bytes(sender.output)
            sender.output.clear()
            assert heard(receiver, data, step) == []
    assert near.open
    assert far.open
    assert heard(near, b"".join(map(encode, sent)), step) == sent
    assert heard(far, b"".join(map(encode, sent)), step) == sent
    assert near.held_bytes == 0


def test_the_greeting_comes_in_two_steps_as_older_peers_want_it():
    made = engine()
    assert bytes(made.output) == b"\xff" + bytes(8) + b"\x7f\3"
    assert heard(made, greeting()[:11]) == []
    assert bytes(made.output) == greeting()


def test_what_comes_right_behind_the_handshake_is_heard():
    assert heard(engine(), greeting() + ready() + encode([b"a", b"b"]) + encode([b"c"])) == [[b"a", b"b"], [b"c"]]


@pytest.mark.parametrize("kind", [b"REQ", b"DEALER", b"ROUTER"])
def test_these_kinds_of_sockets_are_spoken_with(kind):
    made = engine()
    heard(made, greeting() + ready(kind))
    assert made.open


@pytest.mark.parametrize("kind", [b"SUB", b"PUSH", b"REP", b"", b"dealer"])
def test_other_kinds_of_sockets_are_not(kind):
    with pytest.raises(Violation, match="its socket is of no kind"):
        heard(engine(), greeting() + ready(kind))


def test_a_dealer_speaks_to_a_router_and_not_to_a_req():
    heard(engine(DEALER), greeting() + ready(b"ROUTER"))
    with pytest.raises(Violation):
        heard(engine(DEALER), greeting() + ready(b"REQ"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", ForeignProtocol),
        (b"\0", ForeignProtocol),
        (b"\xff" * 8 + b"\0\0", ForeignProtocol),
        (b"\xff" + bytes(8) + b"\x7f\0", ForeignProtocol),
        (b"\xff" + bytes(8) + b"\x7f\2", ForeignProtocol),
        (greeting(b"CURVE"), Violation),
        (greeting(b"PLAIN"), Violation),
        (greeting(b"NULLS"), Violation),
        (greeting() + b"\0\1x", Violation),
        (greeting() + command(b"HELLO"), Violation),
        (greeting() + command(b"READY", b"\1"), Violation),
        (greeting() + command(b"READY", b"\1x\0\0\0\5y"), Violation),
        (greeting() + ready(b"DEALER", (b"socket-type", b"REQ")), Violation),
        (greeting() + command(b"ERROR", b"\x03400"), Violation),
        (greeting() + b"\6" + (HANDSHAKE_BYTES_MAX + 1).to_bytes(8), Violation),
        (greeting() + ready() + b"\x08\0", Violation),
        (greeting() + ready() + b"\5\0", Violation),
        (greeting() + ready() + b"\2" + (BYTES_MAX + 1).to_bytes(8), Violation),
        (greeting() + ready() + b"\2" + b"\xff" * 8, Violation),
        (greeting() + ready() + b"\6" + (COMMAND_BYTES_MAX + 1).to_bytes(8), Violation),
        (greeting() + ready() + command(b"PING", b"\0"), Violation),
        (greeting() + ready() + command(b"PING", bytes(2 + 17)), Violation),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_what_is_not_of_the_protocol_ends_the_connection(data, why, step):
    with pytest.raises(why):
        heard(engine(), data, step)


def test_pings_are_answered_and_other_commands_are_not():
    made = opened()
    data = command(b"PING", b"\0\x0acontext") + command(b"PONG", b"x") + command(b"SUBSCRIBE", b"x", long=True)
    assert heard(made, data + encode([b"message"])) == [[b"message"]]
    assert bytes(made.output) == command(b"PONG", b"context")


@pytest.mark.parametrize("version", [b"\3\0", b"\3\1", b"\3\5", b"\4\0"])
def test_what_is_of_3_0_and_whatever_is_higher_is_spoken_with(version):
    made = engine()
    assert heard(made, greeting(version=version) + ready() + encode([b"message"])) == [[b"message"]]


# -- what is kept


def test_of_messages_that_are_too_large_nothing_is_kept_and_what_comes_next_is_heard():
    made = opened()
    many = encode([b""] * (FRAMES_MAX + 1))
    long = encode([b"x" * BYTES_MAX, b"y"])
    assert heard(made, many + long + encode([b"next"]))[-1] == [b"next"]
    assert made.too_large == 2


def test_a_message_that_never_ends_takes_no_more_than_one_that_may_be():
    made = opened()
    for _ in range(1_000):
        heard(made, b"\3" + (BYTES_MAX // 2).to_bytes(8) + bytes(BYTES_MAX // 2))
        assert made.held_bytes <= BYTES_MAX
    assert not any(made._frames)
    assert made.held_bytes == 0


def test_what_was_handled_is_let_go_of_even_if_there_is_always_more():
    made = opened()
    message = encode([b"x" * 100])
    made.feed(message)
    for _ in range(100):
        made.feed(message)
        assert made.next() == [b"x" * 100]
        assert made.held_bytes == len(message)
        assert len(made._came) <= 2 * len(message)


def test_it_is_known_how_much_is_held():
    made = opened()
    made.feed(encode([b"x" * 100, b"y" * 100])[:150])
    assert made.held_bytes == 150
    assert made.next() is None
    assert made.held_bytes == 148  # without the head of the first frame
    made.feed(encode([b"x" * 100, b"y" * 100])[150:] + encode([b"z"]))
    assert made.next() == [b"x" * 100, b"y" * 100]
    assert made.held_bytes == 3
    assert made.next() == [b"z"]
    assert made.held_bytes == 0


@pytest.mark.parametrize("part", [b"\1\0", command(b"PONG")])
def test_only_so_many_parts_are_looked_at_in_one_go(part):
    made = opened()
    made.feed(part * (2 * PARTS_AT_ONCE + 1))
    assert made.next() == []
    assert made.next() == []
    assert made.next() is None


# -- PLAIN


def plain(*, step=0, user=b"shop", password=b"secret", initiate=True):
    made = engine(admits=admits)
    data = greeting(b"PLAIN") + hello(user, password)
    data += command(b"INITIATE", ready()[8:]) if initiate else b""
    return made, heard(made, data + (encode([b"message"]) if initiate else b""), step)


@pytest.mark.parametrize("step", [0, 1])
def test_a_user_with_a_password_is_let_in(step):
    made, messages = plain(step=step)
    assert made.open
    assert made.user == "shop"
    assert messages == [[b"message"]]
    said = bytes(made.output)
    assert said[:64] == greeting(b"PLAIN")[:32] + b"\1" + bytes(31)
    assert said[64:] == command(b"WELCOME") + ready(b"ROUTER")


@pytest.mark.parametrize(
    ("user", "password"), [(b"shop", b""), (b"shop", b"Secret"), (b"other", b"secret"), (b"", b"")]
)
def test_others_are_refused_and_told_so(user, password):
    made = engine(admits=admits)
    with pytest.raises(Refusal):
        heard(made, greeting(b"PLAIN") + hello(user, password))
    assert bytes(made.output).endswith(command(b"ERROR", b"\x03400"))
    assert made.user == ""


@pytest.mark.parametrize("mechanism", [b"NULL", b"CURVE"])
def test_who_has_no_password_is_refused_where_one_is_wanted(mechanism):
    with pytest.raises(Refusal):
        heard(engine(admits=admits), greeting(mechanism) + ready())


@pytest.mark.parametrize(
    "told", [b"", b"\4shop", b"\4shop\7secret", b"\4shop\6secretx", b"\xffshop\6secret", b"\4shop\6secre"]
)
def test_a_hello_that_does_not_hold_what_it_says_ends_the_connection(told):
    with pytest.raises(Violation):
        heard(engine(admits=admits), greeting(b"PLAIN") + command(b"HELLO", told))


@pytest.mark.parametrize("next_", [ready(), hello(b"shop", b"secret"), encode([b"message"])])
def test_only_initiate_may_follow_hello(next_):
    made, _ = plain(initiate=False)
    with pytest.raises(Violation):
        heard(made, next_)


# -- ZMTP 2.0


def greeting_2(kind=5, identity=b""):
    return b"\xff" + bytes(8) + b"\x7f\1" + bytes((kind, 0, len(identity))) + identity


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("kind", [3, 5, 6])
def test_zmtp_2_is_spoken_with(kind, step):
    made = engine()
    assert heard(made, greeting_2(kind, b"name") + encode([b"a", b"x" * 256]), step) == [[b"a", b"x" * 256]]
    assert bytes(made.output) == b"\xff" + bytes(8) + b"\x7f\3\6\0\0"


@pytest.mark.parametrize(
    "data",
    [
        greeting_2(2),
        greeting_2(9),
        greeting_2()[:-2] + b"\1\0",
        greeting_2()[:-2] + b"\2",
        greeting_2()[:-2] + command(b"READY"),
        greeting_2() + command(b"PING", b"\0\0"),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_what_zmtp_2_does_not_have_ends_the_connection(data, step):
    with pytest.raises(Violation):
        heard(engine(), data, step)


def test_zmtp_2_has_no_passwords():
    with pytest.raises(Refusal):
        heard(engine(admits=admits), greeting_2())
