import re

import msgspec
import pytest

from braidmq.errors import ConfigError
from braidmq.members import Role
from braidmq.trust import code_text
from braidmq.trust.certificate import ENDPOINTS_MAX, Claims, issue
from braidmq.trust.code_text import CONTENT_BYTES_MAX, TEXT_CHARS_MAX, VERSION, Kind, kind_of
from braidmq.trust.codes import BROKERS_IN_CODE_MAX, BrokerPlace, Netcode, RequestCode, Token
from braidmq.trust.invitation import PREFIX_BYTES_MAX
from tests.support.tokens import AUTHORITY, END, NET, SEED, TOKEN, member_key

BROKERS = (
    BrokerPlace("b1", member_key(1), ("tcp://b1.example:5550", "tcp://[::1]:5550")),
    BrokerPlace("b2", member_key(2), ("dns+srv://_braid._tcp.example.com",)),
)
NETCODE = Netcode(NET, AUTHORITY, BROKERS)
REQUEST = RequestCode(NET, "orders", member_key(3))
TOKEN_CODE = Token(NETCODE, b"t" * 32, serial=7, not_after=END, prefix="replica-")
NAMED_TOKEN = Token(NETCODE, b"t" * 32, serial=7, not_after=END, name="one")
CODES = [NETCODE, REQUEST, TOKEN_CODE, NAMED_TOKEN]


def certificate(number, endpoints):
    return issue(
        Claims(
            net=NET, serial=1, name=f"b{number}", role=Role.BROKER, keys=(member_key(200), member_key(number)),
            endpoints=endpoints,
        ),
        SEED,
    )  # fmt: skip


def said_of(code, text):
    with pytest.raises(ConfigError) as refused:
        type(code).decode(text)
    said = str(refused.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("code", CODES, ids=lambda code: type(code).__name__)
def test_what_was_encoded_is_decoded_as_it_was(code):
    text = code.encode()
    assert type(code).decode(text) == code
    for unharmed in (f"  {text}\n", text.upper(), "\n ".join(re.findall(".{1,70}", text))):
        assert type(code).decode(unharmed) == code


@pytest.mark.parametrize("code", CODES, ids=lambda code: type(code).__name__)
def test_codes_are_one_word_that_shells_and_urls_take_as_it_is(code):
    assert re.fullmatch(r"braid_(net|req|tok)_1_[a-z2-7]+", code.encode())
    assert kind_of(code.encode()) is {Netcode: Kind.NET, RequestCode: Kind.REQUEST, Token: Kind.TOKEN}[type(code)]
    assert kind_of("tcp://b1:5550") is kind_of("") is None


@pytest.mark.parametrize("code", CODES[:3], ids=lambda code: type(code).__name__)
def test_a_code_that_was_cut_short_anywhere_is_told_to_be(code):
    text = code.encode()
    for length in range(1, len(text)):
        assert "is cut short" in said_of(code, text[:length])
    missing = said_of(code, text[:-9])
    assert "by 9 of its characters" in missing


@pytest.mark.parametrize("code", CODES[:3], ids=lambda code: type(code).__name__)
def test_a_code_with_a_changed_character_anywhere_is_told_to_be_damaged(code):
    text = code.encode()
    begin = len("braid_net_1_")
    for position in range(begin, len(text)):
        for other in "a7":
            damaged = text[:position] + other + text[position + 1 :]
            if damaged != text:
                assert "damaged" in said_of(code, damaged)
        swapped = text[:position] + text[position : position + 2][::-1] + text[position + 2 :]
        if swapped != text:
            assert "damaged" in said_of(code, swapped)
    assert "damaged" in said_of(code, text[: begin + 20] + "!" + text[begin + 21 :])
    assert "longer than it can be" in said_of(code, text + "a")
    assert "longer than it can be" in said_of(code, text + text[begin:])


def test_a_spelling_with_other_idle_bits_is_damaged():
    content = b"x" * 3  # 8 bytes with the checksum: 13 characters, of which the last one has an idle bit
    text = code_text.encode(Kind.NET, content)
    assert code_text.decode(text, Kind.NET) == content
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    other = text[:-1] + letters[letters.index(text[-1]) ^ 1]
    with pytest.raises(ConfigError, match="damaged"):
        code_text.decode(other, Kind.NET)


def test_a_code_of_another_kind_or_version_is_told_what_it_is():
    assert said_of(NETCODE, REQUEST.encode()).startswith("this is a request code, which `braidmq join` prints")
    assert said_of(REQUEST, NETCODE.encode()).startswith("this is a netcode, which `braidmq code` prints")
    assert said_of(REQUEST, TOKEN_CODE.encode()).startswith("this is a token, which `braidmq invite` prints")
    newer = NETCODE.encode().replace("_1_", "_2_", 1)
    assert "has version 2, and this braidmq reads 1" in said_of(NETCODE, newer)
    renamed = TOKEN_CODE.encode().replace("_tok_", "_net_", 1)
    assert "is damaged" in said_of(NETCODE, renamed)


def test_what_is_no_code_is_told_to_be_none():
    assert "there is no code" in said_of(NETCODE, " \n")
    for text in ("hello", "tcp://b1:5550", "/etc/b1.braid", '{"braidmq_join_file":1}'):
        assert "is no code of BraidMQ" in said_of(NETCODE, text)
    for text in ("braid_foo_1_aaaaaaaa", "braid_net_x_aaaaaaaa", "braid_net_1_aaaa-aaaa", "braid_net_11111_a"):
        assert "is damaged" in said_of(NETCODE, text)
    assert "too long for a code" in said_of(NETCODE, "a" * (TEXT_CHARS_MAX + 1))
    assert "too long for a code" in said_of(NETCODE, " " * 1_000_000)


def test_what_is_well_sealed_and_makes_no_sense_is_told_so():
    pack = msgspec.msgpack.encode
    place = ["b1", member_key(1), ["tcp://b1:5550"]]
    net = [bytes(8), AUTHORITY, [place]]
    token = [net, b"t" * 32, 7, "", "replica-", END]
    for code, content in (
        (NETCODE, b""),
        (NETCODE, pack({"net": 1})),
        (NETCODE, pack([bytes(7), AUTHORITY, [place]])),
        (NETCODE, pack([bytes(8), AUTHORITY[:-1], [place]])),
        (NETCODE, pack([bytes(8), AUTHORITY, []])),
        (NETCODE, pack([bytes(8), AUTHORITY, [place, place]])),
        (NETCODE, pack([bytes(8), AUTHORITY, [["b1", bytes(32), ["tcp://b1:5550"]]]])),
        (NETCODE, pack([bytes(8), AUTHORITY, [["-", member_key(1), ["tcp://b1:5550"]]]])),
        (NETCODE, pack([bytes(8), AUTHORITY, [["b1", member_key(1), []]]])),
        (NETCODE, pack([bytes(8), AUTHORITY, [["b1", member_key(1), ["ipc:///run/x"]]]])),
        (REQUEST, pack([bytes(7), "orders", member_key(1)])),
        (REQUEST, pack([bytes(8), "a b", member_key(1)])),
        (REQUEST, pack([bytes(8), "orders", bytes(32)])),
        (TOKEN_CODE, pack([[bytes(8), AUTHORITY, []], *token[1:]])),
        (TOKEN_CODE, pack([net, b"t" * 31, *token[2:]])),
        (TOKEN_CODE, pack([*token[:2], 0, *token[3:]])),
        (TOKEN_CODE, pack([*token[:3], "both", *token[4:]])),
        (TOKEN_CODE, pack([*token[:5], 0])),
    ):
        kind = kind_of(code.encode())
        assert kind is not None
        assert "is whole, but" in said_of(code, code_text.encode(kind, content))
    Token.decode(code_text.encode(Kind.TOKEN, pack([*token, "of a newer version"])))


def test_the_keys_of_a_token_come_from_its_seed_and_names_from_keys():
    assert TOKEN_CODE.keys == TOKEN
    assert TOKEN_CODE.name_for(member_key(1)).startswith("replica-")
    assert NAMED_TOKEN.name_for(member_key(1)) == "one"


def test_a_token_is_never_shown():
    text = TOKEN_CODE.encode()
    secrets = (repr(TOKEN_CODE.seed)[2:-1], TOKEN_CODE.seed.hex(), text, text[12:40])
    shown = [repr(TOKEN_CODE), str(TOKEN_CODE), repr([TOKEN_CODE])]
    for wrong in (text[:-1], text + "a", text[:-1] + "7", text.replace("_1_", "_9_"), "x" + text):
        shown += [said_of(TOKEN_CODE, wrong), said_of(NETCODE, wrong), said_of(REQUEST, wrong)]
    for each in shown:
        assert not any(secret in each for secret in secrets)


def test_a_netcode_names_as_many_brokers_as_fit_by_their_newest_keys():
    few = Netcode.of(NET, AUTHORITY, [certificate(1, ("tcp://b1:5550",)), certificate(2, ("tcp://b2:5550",))])
    assert [each.name for each in few.brokers] == ["b1", "b2"]
    assert few.brokers[0].key == member_key(1)
    many = Netcode.of(NET, AUTHORITY, [certificate(number, (f"tcp://b{number}:1",)) for number in range(1, 40)])
    assert len(many.brokers) == BROKERS_IN_CODE_MAX
    host = ".".join(["h" * 63] * 3 + ["h" * 61])
    long = tuple(f"tcp://{host}:{port}" for port in range(10_001, 10_001 + ENDPOINTS_MAX))
    large = Netcode.of(NET, AUTHORITY, [certificate(1, long), certificate(2, long), certificate(3, ("tcp://b:1",))])
    assert [each.name for each in large.brokers] == ["b1", "b3"]
    assert large.brokers[0].endpoints == long[:7]
    for netcode in (few, many, large):
        token = Token(netcode, b"t" * 32, serial=2**63 - 1, not_after=END, prefix="p" * PREFIX_BYTES_MAX)
        assert Token.decode(token.encode()) == token
        assert len(token.encode()) <= TEXT_CHARS_MAX
    with pytest.raises(ConfigError, match="no broker yet"):
        Netcode.of(NET, AUTHORITY, [])


def test_what_is_too_long_for_a_code_is_not_encoded():
    assert len(code_text.encode(Kind.NET, bytes(CONTENT_BYTES_MAX))) <= TEXT_CHARS_MAX
    assert code_text.decode(code_text.encode(Kind.NET, bytes(CONTENT_BYTES_MAX)), Kind.NET) == bytes(CONTENT_BYTES_MAX)
    with pytest.raises(ConfigError, match="at most"):
        code_text.encode(Kind.NET, bytes(CONTENT_BYTES_MAX + 1))
    assert VERSION == 1
