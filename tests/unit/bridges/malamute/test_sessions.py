"""Who opens, who is forgotten, and whose mail goes where."""

import pytest

from braidmq.bridges.limits import HELD_PER_PEER_MAX, PEERS_MAX
from braidmq.bridges.malamute import limits
from tests.support.malamute import AGAIN, CLOSE, OK, PING, PONG, ask, error_of, heard, mail_to, mailed, offer, opening

KIB = 1024


def test_open_again_changes_nothing(shop):
    assert shop.say("shop", *offer(b"mlm.echo")) == [OK]
    assert shop.say("shop", *opening(b"shop")) == [OK]
    assert shop.offers == {("", "mlm.echo"): 16}
    assert shop.withdrawn == []


def test_open_under_another_address_is_another_program(shop):
    shop.say("shop", *offer(b"mlm.echo"))
    assert shop.say("shop", *opening(b"store")) == [OK]
    assert shop.offers == {}
    shop.say("other", *opening(b"other"))
    shop.say("other", *mail_to(b"store", b"1"))
    shop.say("other", *mail_to(b"shop", b"2"))
    assert [heard(each).content for each in shop.heard("shop")[-1:]] == [[b"1"]]


@pytest.mark.parametrize("frame", [b"", b"\xaa\xa8\x63", b"\xaa\xa8\x01\x08MALAMUTX\0\1\0", b"\xaa\xa8\x01\x08MALAM"])
def test_what_is_malformed_is_counted_and_not_answered(net, frame):
    assert net.say("raw", frame) == []
    assert net.core.counters["malformed"] == 1


@pytest.mark.parametrize("number", [3, 8, 10, 13, 14, 15])
def test_what_only_a_server_says_is_counted_and_not_answered(shop, number):
    for name in ("shop", "unopened"):
        assert shop.say(name, bytes((0xAA, 0xA8, number)) + bytes(8)) == []
    assert shop.core.counters["dropped"] == 2


def test_close_is_answered_in_any_case(shop):
    assert shop.say("shop", *CLOSE) == [OK]
    assert shop.say("shop", *CLOSE) == [OK]
    assert shop.say("new", *CLOSE) == [OK]
    assert shop.say("shop", *PING) == [AGAIN]


def test_program_that_is_silent_is_forgotten_without_a_word_and_opens_anew(shop):
    shop.say("shop", *offer(b"mlm.echo"))
    shop.heard("shop")
    shop.advance(limits.SILENCE_S_MAX)
    assert shop.offers == {}
    assert shop.heard("shop") == []
    assert shop.say("shop", *PING) == [AGAIN]
    assert shop.say("shop", *opening(b"shop")) == [OK]
    assert shop.say("shop", *offer(b"mlm.echo")) == [OK]
    assert shop.offers == {("", "mlm.echo"): 16}


def test_program_that_pings_is_not_forgotten(shop):
    for _ in range(30):
        shop.advance(1)
        assert shop.say("shop", *PING) == [PONG]


def test_what_came_before_the_open_is_done_behind_its_ok(net):
    net.services["pricing"] = None
    assert net.say("shop", *PING) == [AGAIN]
    assert net.say("shop", *ask(b"pricing", b"14")) == [AGAIN]
    assert net.say("shop", *mail_to(b"shop", b"note")) == [AGAIN]
    assert net.say("shop", *opening(b"shop")) == [OK, mailed(b"shop", b"shop", b"note")]
    assert [call.payload for call in net.calls.values()] == [b"14"]


def test_denied_offer_that_was_held_needs_no_error(net):
    """Its client offers it again by itself, and hears then that it is done."""
    assert net.say("w", *offer(b"mlm.echo", b"[")) == [AGAIN]
    assert net.say("w", *opening(b"w")) == [OK, OK]
    assert net.say("w", *offer(b"mlm.echo", b"[")) == [OK]


def test_held_messages_are_bounded_in_number_bytes_and_time(net):
    for _ in range(HELD_PER_PEER_MAX + 5):
        net.say("a", *mail_to(b"a", b"x"))
    for _ in range(5):
        net.say("b", *mail_to(b"b", bytes(300 * KIB)))
    assert net.core.counters["dropped"] == 5 + 2
    net.say("c", *mail_to(b"c", b"x"))
    net.advance(limits.HELD_S_MAX)
    assert net.core.counters["dropped"] == 5 + 2 + HELD_PER_PEER_MAX + 3 + 1
    for name in "abc":
        assert net.say(name, *opening(name.encode())) == [OK]


def test_bytes_held_for_all_are_bounded(net, monkeypatch):
    monkeypatch.setattr("braidmq.bridges.malamute.sessions.HELD_BYTES_MAX", 200 * KIB)
    for name in "abcd":
        net.say(name, *mail_to(b"x", bytes(60 * KIB)))
    assert net.core.counters["dropped"] == 1
    net.close("a")
    net.say("d", *mail_to(b"x", bytes(60 * KIB)))
    assert net.core.counters["dropped"] == 1


def test_held_messages_go_with_their_connection_and_with_a_close(net):
    net.say("a", *mail_to(b"b", b"x"))
    net.close("a")
    net.say("a", *mail_to(b"b", b"x"))
    assert net.say("a", *CLOSE) == [OK]
    assert net.say("a", *opening(b"a")) == [OK]
    assert net.say("b", *opening(b"b")) == [OK]


def test_only_so_many_connections_are_known(net):
    for number in range(PEERS_MAX):
        net.say(f"p{number}", *PING)
    assert net.say("late", *opening(b"late")) == []
    net.close("p0")
    assert net.say("late", *opening(b"late")) == [OK]


class TestMail:
    def test_mail_reaches_the_newest_under_an_address(self, shop):
        shop.say("shop2", *opening(b"shop"))
        shop.say("store", *opening(b"store"))
        shop.heard("shop2")
        shop.say("store", *mail_to(b"shop", b"1", b"", b"2", tracker=b"x"))
        assert shop.sent == [("shop2", mailed(b"store", b"shop", b"1", b"", b"2", tracker=b"x"))]

    def test_mail_is_kept_for_an_absent_program_each_with_its_tracker(self, shop):
        shop.say("shop", *mail_to(b"store", b"1", tracker=b"a"))
        shop.say("shop", *mail_to(b"store", b"2", tracker=b"b"))
        assert shop.say("store", *opening(b"store")) == [
            OK,
            mailed(b"shop", b"store", b"1", tracker=b"a"),
            mailed(b"shop", b"store", b"2", tracker=b"b"),
        ]
        assert shop.say("store2", *opening(b"store")) == [OK]

    def test_kept_mail_is_dropped_after_a_minute(self, shop):
        shop.say("shop", *mail_to(b"store", b"1"))
        shop.advance(limits.MAIL_S_MAX)
        assert shop.say("store", *opening(b"store")) == [OK]
        assert shop.core.counters["mail_expired"] == 1

    @pytest.mark.parametrize(("size", "kept"), [(1, limits.MAIL_PER_ADDRESS_MAX), (100 * KIB, 10)])
    def test_kept_mail_of_an_address_and_of_a_sender_is_bounded(self, shop, size, kept):
        shop.say("other", *opening(b"other"))
        overhead = 1_600 if size == 1 else 0
        bound = min(kept, limits.MAIL_BYTES_PER_ADDRESS_MAX // (size + overhead))
        for _ in range(kept + 100):
            shop.say("shop", *mail_to(b"store", bytes(size)))
        got = shop.core.counters["mail_kept"]
        assert bound <= got <= kept
        shop.say("shop", *mail_to(b"elsewhere", bytes(size)))
        assert shop.core.counters["mail_kept"] == got, "the sender has its share"
        shop.say("other", *mail_to(b"store", bytes(size)))
        assert shop.core.counters["mail_kept"] == got, "the mailbox is full"
        shop.say("other", *mail_to(b"elsewhere", bytes(size)))
        assert shop.core.counters["mail_kept"] == got + 1
        assert len(shop.say("store", *opening(b"store"))) == got + 1

    def test_all_kept_mail_is_bounded(self, shop, monkeypatch):
        monkeypatch.setattr("braidmq.bridges.malamute.mailboxes.MAIL_BYTES_MAX", 200 * KIB)
        for number in range(10):
            shop.say("shop", *mail_to(b"a%d" % number, bytes(50 * KIB)))
        assert shop.core.counters["mail_kept"] == 3
        assert shop.core.counters["mail_dropped"] == 7

    @pytest.mark.parametrize("address", [b"", b"$braidmq"])
    def test_mail_to_nobody_is_dropped(self, shop, address):
        assert shop.say("shop", *mail_to(address, b"1")) == []
        assert shop.core.counters["mail_dropped"] == 1

    def test_pong_goes_ahead_of_mail_for_one_that_has_heard_nothing(self, shop):
        shop.say("store", *opening(b"store"))
        shop.advance(limits.QUIET_S)
        shop.say("store", *PING)
        shop.heard("shop")
        shop.say("store", *mail_to(b"shop", b"1"))
        shop.say("store", *mail_to(b"shop", b"2"))
        assert shop.heard("shop") == [PONG, mailed(b"store", b"shop", b"1"), mailed(b"store", b"shop", b"2")]

    def test_pong_goes_ahead_of_mail_for_one_whose_ping_is_late(self, shop):
        """It was stopped, and may take its server for gone as it goes on."""
        shop.say("store", *opening(b"store"))
        shop.advance(limits.LATE_S - 0.5)
        shop.say("store", *mail_to(b"shop", b"1"))
        shop.heard("shop")
        shop.advance(0.5)
        shop.say("store", *mail_to(b"shop", b"2"))
        assert shop.heard("shop") == [PONG, mailed(b"store", b"shop", b"2")]

    def test_mail_that_could_not_leave_comes_with_the_next_ping_in_order(self, shop):
        shop.say("store", *opening(b"store"))
        shop.unreachable.add("shop")
        shop.say("store", *mail_to(b"shop", b"1"))
        shop.unreachable.clear()
        shop.say("store", *mail_to(b"shop", b"2"))
        shop.heard("shop")
        assert shop.say("shop", *PING) == [PONG, mailed(b"store", b"shop", b"1"), mailed(b"store", b"shop", b"2")]
        assert shop.say("shop", *PING) == [PONG]

    def test_program_that_reads_nothing_is_not_written_to_for_ever(self, shop):
        shop.say("store", *opening(b"store"))
        shop.unreachable.update(("shop", "shop2"))
        shop.say("shop2", *opening(b"shop"))
        shop.say("store", *mail_to(b"shop", b"1"))
        shop.say("shop", *PING)
        assert shop.core.counters["mail"] == 2


class TestProven:
    """Users who have proven who they are: the address that they claim is not believed."""

    def test_user_has_his_own_address_whatever_he_claims(self, net):
        net.services["pricing"] = None
        net.peer("eve", user="eve", member="eve")
        net.members["eve"] = net.members[""]
        assert net.say("eve", *opening(b"shop")) == [OK]
        net.say("shop", *opening(b"shop"))
        net.say("shop", *mail_to(b"shop", b"for the shop"))
        assert [heard(each).command.name for each in net.heard("eve")] == ["OK"]
        net.say("eve", *ask(b"pricing"))
        assert [call.member for call in net.calls.values()] == ["eve"]
        assert [call.headers["via"] for call in net.calls.values()] == ["malamute:eve"]

    def test_user_without_an_address_has_none(self, net):
        net.peer("eve", user="eve")
        net.say("eve", *opening(b""))
        net.say("shop", *opening(b"shop"))
        net.say("shop", *mail_to(b"eve", b"1"))
        assert net.core.counters["mail_kept"] == 1

    def test_nobody_opens_as_the_bridge(self, net):
        net.peer("user", user="$braidmq")
        for name, claimed in (("claims", b"$braidmq"), ("user", b"user")):
            assert net.say(name, *opening(claimed)) == [OK]
            net.say(name, *mail_to(b"shop", b"LOST", b"it is all over", b"1"))
        letters = net.say("shop", *opening(b"shop"))[1:]
        assert [heard(each).sender for each in letters] == [b"", b""]


def test_error_mail_cannot_be_forged_by_an_address(shop):
    shop.say("eve", *opening(b"eve"))
    shop.say("eve", *mail_to(b"shop", b"LOST", b"text", b"1", subject=b"$error"))
    with pytest.raises(AssertionError):
        error_of(shop.heard("shop")[-1])
