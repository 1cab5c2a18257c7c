"""What brokers tell of others: who is learned, and who is forgotten."""

import random
from dataclasses import replace
from typing import Any

from braidmq.core.events.log import EventLog
from braidmq.core.links.address_book import OWN_KEYS_MAX, REFUSED_MAX, AddressBook
from braidmq.core.links.link import BrokerAddress, Change, Close, LinkState
from braidmq.core.links.links import Links
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.control import encode_control
from braidmq.wire.limits import BROKERS_MAX
from tests.support.rigs.node_rig import NODE, START, NodeRig, address, verify

ONE, TWO = "tcp://1.1.1.1:1", "tcp://2.2.2.2:1"


def peers(*certificates: bytes) -> control.Peers:
    return control.Peers([control.Peer(certificate) for certificate in certificates])


class TestAddressBook:
    """By itself."""

    def book(self) -> AddressBook:
        return AddressBook(verify, NODE, 60.0, EventLog())

    def test_version_tells_of_newcomers_and_newer_certificates_only(self) -> None:
        book = self.book()
        versions = []
        for serial in (2, 1, 2, 3):
            book.learn(address("a", serial=serial), START)
            versions.append(book.version)
        assert versions == [1, 1, 1, 2]
        assert book.links["a"].address.serial == 3
        book.forget(book.links["a"])
        assert (book.version, book.links) == (3, {})

    def renamed(self, name: str, serial: int, of: str = "a") -> BrokerAddress:
        return replace(address(name, serial=serial), key=address(of).key)

    def test_another_name_with_a_key_that_is_known_is_the_same_broker(self) -> None:
        book = self.book()
        book.learn(address("a"), START)
        book.learn(self.renamed("shop", 2), START)
        assert [link.name for link in book.take_renamed()] == ["a"]
        assert book.take_renamed() == []
        book.forget(book.links["a"])
        book.validate_state()
        book.learn(address("a"), START)
        assert list(book.links) == ["shop"]
        book.learn(self.renamed("a", 3), START)
        assert [link.name for link in book.take_renamed()] == ["shop"]
        book.validate_state()

    def test_a_key_that_was_changed_meanwhile_still_tells_who_it_is(self) -> None:
        book = self.book()
        book.learn(address("a"), START)
        book.learn(replace(self.renamed("a", 2, of="new"), former_key=address("a").key), START)
        book.validate_state()
        book.learn(self.renamed("shop", 3, of="new"), START)
        assert [link.name for link in book.take_renamed()] == ["a"]

    def test_a_broker_never_learns_itself_by_whichever_name_and_key(self) -> None:
        book = self.book()
        own = address("b1")
        book.change_own(own)
        book.change_own(replace(address("b1", serial=2), key=b"n" * 32, former_key=own.key))
        book.change_own(replace(address("b1", serial=3), key=b"n" * 32))
        for key in (own.key, b"n" * 32):
            book.learn(replace(address("shop", serial=4), key=key), START)
        assert not book.links
        for number in range(OWN_KEYS_MAX):
            book.change_own(replace(own, key=bytes((number,)) * 32))
        assert len(book.own_keys) == OWN_KEYS_MAX
        book.validate_state()

    def test_brokers_are_bounded(self) -> None:
        events = EventLog()
        book = AddressBook(verify, NODE, 60.0, events)
        for number in range(BROKERS_MAX + 5):
            book.learn(address(f"b{number}"), START)
        assert len(book.links) == BROKERS_MAX
        assert any("is ignored" in str(event) for event in events.take())
        book.validate_state()

    def test_forged_certificates_are_bounded(self) -> None:
        book = self.book()
        for number in range(BROKERS_MAX + 500):
            assert book.learn_certificate(b"forged %d" % number, START) is None
        assert len(book._rejected) == BROKERS_MAX
        assert all(len(digest) == 16 for digest in book._rejected)
        book.validate_state()

    def test_list_with_many_forged_certificates_is_not_looked_at_further(self) -> None:
        book = self.book()
        book.learn(address("a"), START)
        forged = [b"forged %d" % number for number in range(REFUSED_MAX)]
        book.on_list(book.links["a"], peers(*forged, b"b").brokers, START)
        assert len(book._rejected) == REFUSED_MAX
        assert "b" not in book.links
        book.on_list(book.links["a"], peers(*forged[1:], b"b").brokers, START)
        assert "b" in book.links

    def test_what_a_list_says_anew_is_told(self) -> None:
        book = self.book()
        book.learn(address("a"), START)
        link = book.links["a"]
        assert book.on_list(link, peers(b"a", b"b").brokers, START) == (True, [])
        reached = [control.Peer(b"b", connected=True), control.Peer(b"a", connected=True)]
        assert book.on_list(link, reached, START) == (False, ["a", "b"])
        assert book.on_list(link, reached, START) == (False, [])
        assert book.on_list(link, reached[:1], START) == (True, [])
        assert (link.peers, link.dropped, link.reached) == ({"b"}, {"a"}, {"b"})


class TestPeers:
    def test_brokers_that_others_tell_of_are_connected_to(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(peers(b"a", b"b", b"c"))
        rig.advance(0.1)
        assert sorted(rig.core.links.links) == ["a", "b", "c"]
        assert rig["b"].link.state is LinkState.UP

    def test_forged_certificate_is_refused_and_told_once(self, make: Any) -> None:
        rig = make("a")
        for _ in range(3):
            rig["a"].say(peers(b"a forged one", b"b"))
        assert sorted(rig.core.links.links) == ["a", "b"]
        assert sum("certificate is refused" in line for line in rig.log) == 1

    def test_known_certificate_is_not_verified_again(self) -> None:
        verified = []

        def count(certificate: bytes) -> Any:
            verified.append(certificate)
            return verify(certificate)

        links = Links(Settings(), random.Random(1), count, own_name=NODE, software="", now=START)
        links.learn(address("a"), START)
        for _ in range(3):
            links.on_control(links.links["a"], encode_control(peers(b"a", b"b"), 0), START)
        assert verified == [b"b"]
        links.validate_state()


class TestForgotten:
    """Brokers that were learned and that nobody lists any more; the owner decides when to ask for them."""

    def rig(self, make: Any, **options: Any) -> NodeRig:
        """Return a node that has learned of `b` from `a`."""
        rig: NodeRig = make("a", **options)
        rig["a"].say(peers(b"a", b"b"))
        rig.advance(0.1)
        return rig

    def names(self, rig: NodeRig) -> list[str]:
        return [link.name for link in rig.core.links.unlisted(rig.now)]

    def test_learned_one_that_no_connected_broker_lists(self, make: Any) -> None:
        rig = self.rig(make)
        rig["b"].crash()
        assert self.names(rig) == []
        rig["a"].say(peers(b"a"))
        assert self.names(rig) == ["b"]
        rig.advance(10.0)
        assert list(rig.core.links.links) == ["a"]
        assert "b" not in rig.core.links.links

    def test_not_one_that_is_listed_by_any_connected_broker(self, make: Any) -> None:
        rig = make("a", "c")
        rig["a"].say(peers(b"a", b"b"))
        rig["c"].say(peers(b"a", b"b", b"c"))
        rig.advance(0.1)
        rig["b"].crash()
        rig["a"].say(peers(b"a"))
        rig.advance(10.0)
        assert "b" in rig.core.links.links
        rig["c"].crash()
        rig.advance(10.0)
        assert "b" not in rig.core.links.links, "who is gone lists nobody"

    def test_not_one_that_is_listed_as_suspect_but_one_that_is_dead(self, make: Any) -> None:
        rig = self.rig(make)
        rig["b"].crash()
        for state in ("suspect", "leaving"):
            rig["a"].say(control.Peers([control.Peer(b"a"), control.Peer(b"b", state=state)]))
            assert self.names(rig) == []
        rig["a"].say(control.Peers([control.Peer(b"a"), control.Peer(b"b", state="dead")]))
        assert self.names(rig) == ["b"]

    def test_not_one_that_was_never_tried_unless_it_never_will_be(self, links: Links) -> None:
        links.learn(address("a"), START, configured=True)
        links.on_timer(START)
        links.on_resolved("a", [ONE], START)
        links.on_control(links.links["a"], encode_control(control.Welcome("a", NODE, 1000, 5000), 0), START)
        links.on_control(links.links["a"], encode_control(peers(b"a"), 0), START)
        links.learn(address("remembered"), START)
        assert links.unlisted(START) == []
        links.links["remembered"].wanted = False
        assert links.unlisted(START) == []
        assert links.unlisted(START + 59.9) == []
        assert links.unlisted(START + 60.0) == [links.links["remembered"]]

    def test_not_at_the_word_of_a_broker_that_has_just_started_and_knows_nobody_yet(self, make: Any) -> None:
        rig = self.rig(make, settings=Settings(tombstone_s=20.0))
        rig["b"].crash()
        rig["a"].crash()
        rig.advance(1.0)
        rig["a"].refusal = None
        rig.advance(6.0)
        assert rig["a"].link.state is LinkState.UP
        rig["a"].say(peers(b"a"))
        rig.advance(19.0)
        assert "b" in rig.core.links.links
        rig["a"].say(peers(b"a", b"b"))
        rig.advance(0.1)
        rig["a"].say(peers(b"a"))
        rig.advance(0.5)
        assert "b" not in rig.core.links.links, "now it knows"

    def test_one_that_nobody_lists_after_a_while(self, make: Any) -> None:
        rig = make("a", settings=Settings(tombstone_s=20.0))
        rig.core.links.learn_certificate(b"b", rig.now)
        rig.advance(0.0)
        rig["b"].crash()
        rig["a"].say(peers(b"a"))
        rig.advance(19.0)
        assert "b" in rig.core.links.links
        rig.advance(7.0)
        assert "b" not in rig.core.links.links

    def test_not_one_that_is_open(self, make: Any) -> None:
        rig = self.rig(make)
        rig["a"].say(peers(b"a"))
        rig.advance(5.0)
        assert rig["b"].link.state is LinkState.UP

    def test_not_one_that_is_configured(self, make: Any) -> None:
        rig = make("a", "b")
        rig["a"].say(peers(b"a"))
        rig["b"].crash()
        rig.advance(30.0)
        assert "b" in rig.core.links.links

    def test_not_one_that_is_configured_though_others_told_of_it_first(self, make: Any) -> None:
        rig = self.rig(make)
        rig.core.learn(address("b"), rig.now)
        rig["a"].say(peers(b"a"))
        rig["b"].crash()
        rig.advance(30.0)
        assert "b" in rig.core.links.links

    def test_nobody_while_there_is_no_list(self, make: Any) -> None:
        rig = self.rig(make)
        rig["b"].crash()
        rig["a"].crash()
        rig.advance(30.0)
        assert sorted(rig.core.links.links) == ["a", "b"]

    def test_open_one_is_closed_and_its_owner_told(self, links: Links) -> None:
        links.learn(address("a"), START)
        links.on_timer(START)
        links.on_resolved("a", [ONE], START)
        link, known = links.links["a"], links.known_version
        links.on_control(link, encode_control(control.Welcome("a", NODE, 1000, 5000), 0), START)
        links.take_actions()
        links.take_changes()
        links.forget(link, START)
        assert links.take_actions() == [Close("a")]
        assert links.take_changes() == [(link, Change.DOWN), (link, Change.GONE)]
        assert not links.links
        assert links.known_version == known + 1
        links.on_resolved("a", [TWO], START)
        assert links.take_actions() == []

    def test_is_learned_anew_when_it_is_listed_again(self, make: Any) -> None:
        rig = self.rig(make)
        rig["b"].crash()
        rig["a"].say(peers(b"a"))
        rig.advance(10.0)
        assert "b" not in rig.core.links.links
        rig["b"].refusal = None
        rig["a"].say(peers(b"a", b"b"))
        rig.advance(0.1)
        assert rig["b"].link.state is LinkState.UP
