"""What members are told without asking: the brokers, the services, and to peers the broker itself."""

from typing import Any

import pytest

from braidmq.core.broker.announcements import ABOUT_S, NEWS_S
from braidmq.core.broker.broker import TICK_S
from braidmq.members import Role
from braidmq.wire import control
from braidmq.wire.control import Peer
from braidmq.wire.envelope import COMMON, UINT32
from braidmq.wire.gossip import About, ServiceAbout
from tests.support.rigs.broker_rig import BROKER, FakeMember, Peers, Rig, Services
from tests.support.rigs.node_rig import address

OWN = Peer(BROKER.encode(), connected=True)


def listed(*names: str, **states: Any) -> Peers:
    """The list with the broker itself and these others, all connected."""
    return Peers([OWN, *(Peer(name.encode(), connected=True, state=states.get(name, "alive")) for name in names)])


class TestPeers:
    def test_every_member_is_told_of_a_change(self) -> None:
        rig = Rig()
        members = [rig.client(), rig.worker(), rig.connect("b3", role=Role.BROKER)]
        rig.peer("b2")
        rig.advance(TICK_S)
        assert all(member.of(Peers) == [listed("b2")] for member in members)

    def test_member_is_told_of_a_change_though_somebody_else_has_just_been_welcomed(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.peer("b2")
        newcomer = rig.client("newcomer")
        rig.advance(TICK_S)
        assert client.of(Peers) == [listed("b2")]
        assert newcomer.of(Peers) == [], "it has the list from its welcome"

    def test_members_are_not_told_what_they_know(self) -> None:
        rig = Rig(probe_s=60.0)
        peer, client = rig.peer("b2"), rig.client()
        rig.advance(TICK_S)
        client.take()
        for number in range(5):
            peer.about("echo", in_flight=number)
            rig.advance(0.2, heartbeats=True)
        peer.alive = False
        rig.advance(1.6, heartbeats=True)
        assert rig.core.report(rig.now).brokers[1].link == "suspect"
        assert client.of(Peers) == []

    def test_broker_that_is_lost_is_told_as_such(self) -> None:
        rig = Rig()
        peer, client = rig.peer("b2"), rig.client()
        rig.advance(TICK_S)
        client.take()
        peer.lose()
        rig.advance(TICK_S)
        assert client.of(Peers) == [Peers([OWN, Peer(b"b2", connected=False)])]
        rig.advance(1.0, heartbeats=True)
        assert client.of(Peers) == [Peers([OWN, Peer(b"b2", connected=False, state="suspect")])]
        rig.advance(60.0, heartbeats=True)
        assert client.of(Peers)[0] == Peers([OWN])

    def test_newer_certificate_is_told(self) -> None:
        rig = Rig()
        rig.peer("b2")
        client = rig.client()
        rig.peering.learn(address("b2", serial=2), rig.now)
        rig.advance(TICK_S)
        assert client.of(Peers) == [Peers([OWN, Peer(b"b202", connected=True)])]

    def test_list_is_repeated_after_a_while(self) -> None:
        rig = Rig(sync_s=2.0)
        client = rig.client()
        rig.advance(1.95, heartbeats=True)
        assert client.of(Peers) == []
        rig.advance(0.2, heartbeats=True)
        assert client.of(Peers) == [listed()]
        rig.advance(1.8, heartbeats=True)
        assert client.of(Peers) == []
        rig.advance(0.4, heartbeats=True)
        assert client.of(Peers) == [listed()]

    def test_repeated_list_says_when_it_is_sent(self) -> None:
        rig = Rig(sync_s=2.0)
        client = rig.client()
        rig.now += 2.1
        rig.core.on_timer(rig.now)
        rig.now += TICK_S
        rig.core.on_timer(rig.now)
        (message,) = (each for each in rig.core.take_sends()[client.route] if each[5] == control.Peers.NUMBER)
        assert COMMON.unpack_from(message)[5] == int(rig.now * 1000) & UINT32, "else what travels with it looks old"

    def test_news_is_spread_over_ticks_in_a_large_net(self, patch_cores: pytest.MonkeyPatch) -> None:
        patch_cores.setattr("braidmq.core.broker.announcements.PEER_ROWS_PER_TICK", 4)
        rig = Rig()
        clients = [rig.client(f"c{number}") for number in range(5)]
        rig.peer("b2")
        for told in (2, 4, 5, 5):
            rig.advance(TICK_S)
            assert sum(listed("b2") in client.inbox for client in clients) == told

    def test_who_waits_for_older_news_gets_the_newest(self, patch_cores: pytest.MonkeyPatch) -> None:
        patch_cores.setattr("braidmq.core.broker.announcements.PEER_ROWS_PER_TICK", 4)
        rig = Rig()
        clients = [rig.client(f"c{number}") for number in range(5)]
        rig.peer("b2")
        rig.advance(TICK_S)
        rig.peer("b3")
        rig.advance(8 * TICK_S)
        lists = [client.of(Peers) for client in clients]
        assert all(each[-1] == listed("b2", "b3") for each in lists)
        assert [len(each) for each in lists] == [2, 2, 1, 1, 1]

    def test_one_list_goes_out_in_a_tick_however_long_it_is(self, patch_cores: pytest.MonkeyPatch) -> None:
        patch_cores.setattr("braidmq.core.broker.announcements.PEER_ROWS_PER_TICK", 1)
        rig = Rig()
        client = rig.client()
        rig.peer("b2")
        rig.advance(TICK_S)
        assert client.of(Peers) == [listed("b2")]


class TestAbout:
    def peer(self, rig: Rig) -> FakeMember:
        return rig.connect("b2", role=Role.BROKER, calls=("*",))

    def test_peer_is_told_at_its_welcome_and_of_changes(self) -> None:
        rig = Rig()
        rig.advance(0.1)
        rig.register("b2", role=Role.BROKER)
        peer = rig.stranger("b2")
        peer.hello()
        endpoints = ["tcp://b1:1"]
        assert peer.of(About) == [About(BROKER, 1, endpoints, settled=True)]
        client = rig.client()
        worker = rig.worker(credit=3)
        for _ in range(5):
            client.request()
        rig.advance(ABOUT_S + TICK_S, heartbeats=True)
        (about,) = peer.of(About)
        assert about == About(BROKER, 2, endpoints, 2, 3, 2, settled=True, services=[ServiceAbout("echo", 1, 0)])
        worker.goodbye()
        rig.advance(ABOUT_S + TICK_S)
        assert peer.of(About)[-1].services == []

    def test_credit_is_what_is_free_and_never_below_zero(self) -> None:
        rig = Rig()
        peer, client = self.peer(rig), rig.client()
        first = rig.worker("w1", credit=3)
        rig.worker("w2", credit=5)
        for _ in range(4):
            client.request()
        rig.advance(ABOUT_S + TICK_S, heartbeats=True)
        assert peer.of(About)[-1].services == [ServiceAbout("echo", 2, 4)]
        first.ready(credit=1)
        rig.advance(ABOUT_S + TICK_S, heartbeats=True)
        assert peer.of(About)[-1].services == [ServiceAbout("echo", 2, 3)], "w1 has one more than its credit"

    def test_credit_of_a_silent_worker_does_not_count(self) -> None:
        rig = Rig()
        peer, worker = self.peer(rig), rig.worker("w1", credit=3)
        rig.worker("w2", credit=5)
        rig.advance(1.0)
        for member in (peer, worker):
            member.heartbeat()
        rig.advance(1.0)
        assert [about.services for about in peer.of(About)] == [
            [ServiceAbout("echo", 2, 8)],
            [ServiceAbout("echo", 2, 3)],
        ]

    def test_broker_that_has_just_started_says_that_it_is_not_settled(self) -> None:
        rig = Rig(settle_s=5.0)
        peer = self.peer(rig)
        rig.advance(4.5, heartbeats=True)
        assert not any(about.settled for about in peer.of(About))
        rig.advance(2.0, heartbeats=True)
        assert [about.settled for about in peer.of(About)] == [True]

    def test_nodes_are_not_told(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.worker()
        rig.advance(3.0, heartbeats=True)
        assert client.of(About) == []

    def test_is_not_repeated_without_a_change(self) -> None:
        rig = Rig()
        peer = self.peer(rig)
        rig.worker()
        rig.advance(2.0, heartbeats=True)
        peer.take()
        rig.advance(10.0, heartbeats=True)
        assert peer.of(About) == []

    @pytest.mark.parametrize(("services_per_s", "least", "most"), [(1_000, 9, 11), (2, 2, 3)])
    def test_changes_are_told_now_and_then_with_growing_versions(
        self, patch_cores: pytest.MonkeyPatch, services_per_s: int, least: int, most: int
    ) -> None:
        patch_cores.setattr("braidmq.core.broker.announcements.ABOUT_SERVICES", services_per_s)
        rig = Rig()
        peer = self.peer(rig)
        workers = [rig.worker(f"w{number}", f"s{number}") for number in range(8)]
        rig.advance(1.0, heartbeats=True)
        peer.take()
        for step in range(round(10.0 / TICK_S)):
            workers[0].ready("s0", 1 + step)
            rig.advance(TICK_S, heartbeats=True)
        versions = [about.version for about in peer.of(About)]
        assert least <= len(versions) <= most
        assert versions == list(range(versions[0], versions[0] + len(versions)))


class TestServices:
    def test_members_hear_of_a_service_when_its_first_worker_comes_and_when_its_last_one_goes(self) -> None:
        rig = Rig()
        client = rig.client()
        first, second = rig.worker("w1"), rig.worker("w2")
        rig.advance(0.1)
        assert client.of(Services) == [Services(["echo"])]
        first.disconnect()
        rig.advance(0.1)
        assert client.of(Services) == []
        second.disconnect()
        rig.advance(0.1)
        assert client.of(Services) == [Services([])]

    def test_list_is_not_repeated_without_a_change(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker()
        rig.advance(0.1)
        client.take()
        worker.ready(credit=2)
        worker.ready(credit=3)
        rig.advance(0.5)
        assert client.of(Services) == []

    def test_member_hears_only_of_what_it_may_call(self) -> None:
        rig = Rig()
        prefix, exact, nothing = rig.client("a", ("orders.*",)), rig.client("b", ("pricing",)), rig.client("c", ())
        for service in ("pricing", "orders.new", "orders.old", "secret"):
            rig.worker(f"w-{service}", service)
        rig.advance(0.1)
        assert prefix.of(Services) == [Services(["orders.new", "orders.old"])]
        assert exact.of(Services) == [Services(["pricing"])]
        assert nothing.of(Services) == []

    def test_worker_without_credit_makes_no_service_available(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=0)
        rig.advance(0.1)
        assert client.of(Services) == []
        worker.ready(credit=1)
        rig.advance(0.1)
        assert client.of(Services) == [Services(["echo"])]
        worker.ready(credit=0)
        rig.advance(0.1)
        assert client.of(Services) == [Services([])]

    def test_suspect_worker_makes_no_service_available(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker()
        rig.advance(1.0)
        client.heartbeat()
        rig.advance(0.6)
        assert client.of(Services)[-1] == Services([])
        worker.heartbeat()
        rig.advance(0.1)
        assert client.of(Services) == [Services(["echo"])]

    def test_news_is_spread_over_ticks_where_there_are_many_lists(self, patch_cores: pytest.MonkeyPatch) -> None:
        patch_cores.setattr("braidmq.core.broker.announcements.SERVICE_ROWS_PER_TICK", 3)
        rig = Rig()
        clients = [rig.client(f"c{number}", (f"echo{number}*", "echo")) for number in range(5)]
        rig.worker()
        told = []
        for _ in range(6):
            rig.advance(TICK_S)
            told.append(sum(Services(["echo"]) in client.inbox for client in clients))
        assert told[0] < 5
        assert told[-1] == 5
        assert told == sorted(told)

    def test_with_many_services_news_is_told_more_seldom_but_the_first_at_once(
        self, patch_cores: pytest.MonkeyPatch
    ) -> None:
        patch_cores.setattr("braidmq.core.broker.announcements.ABOUT_SERVICES", 2)
        rig = Rig()
        client = rig.client()
        workers = [rig.worker(f"w{number}", f"s{number}") for number in range(10)]
        rig.advance(2.0, heartbeats=True)
        client.take()
        lists = []
        for step in range(100):
            workers[0].ready("s0", step % 2)
            rig.advance(TICK_S, heartbeats=True)
            lists.append(len(client.of(Services)))
        assert lists[0] == 1
        assert 1 <= sum(lists) <= 1 + 100 * TICK_S / (9 / 2 * NEWS_S)
        rig.advance(2.0, heartbeats=True)
        assert not rig.core.dispatcher.catalogue.changed

    def test_one_list_is_made_for_all_with_the_same_rights(self) -> None:
        rig = Rig()
        sessions = [rig.core.sessions[rig.client(f"c{number}").route] for number in range(3)]
        rig.worker()
        rig.advance(TICK_S)
        assert sessions[0].services_sent is sessions[1].services_sent is sessions[2].services_sent

    def test_newcomer_hears_of_the_newest_services(self) -> None:
        rig = Rig()
        rig.worker()
        rig.register("c", calls=("*",))
        newcomer = rig.stranger("c")
        newcomer.hello()
        assert newcomer.of(Services) == [Services(["echo"])]

    def test_peer_brokers_are_not_told_of_services(self) -> None:
        rig = Rig()
        peer = rig.connect("b2", role=Role.BROKER, calls=("*",))
        rig.worker()
        rig.advance(0.1)
        assert peer.of(Services) == []
