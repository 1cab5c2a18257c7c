"""Registries that travel between cores: whoever is newer is believed, whoever lies is not, and nothing stands still."""

from dataclasses import dataclass, field

import pytest

from braidmq.core.events.registry import ClockDiffers, RegistryForked, RegistryLate, RegistryRefused
from braidmq.core.registry.registry import (
    ANOTHER_S,
    CATCH_UP_S_MAX,
    PART_S_MAX,
    PUBLISHERS_EACH_MAX,
    PUBLISHERS_MAX,
    TELL_S,
    TRANSFER_S_MAX,
    TRANSFERS_MAX,
    RegistryCore,
)
from braidmq.errors import ProtocolError
from braidmq.wire.registry import (
    PART_BYTES,
    Published,
    RegistryPart,
    RegistryVersion,
    RegistryWanted,
)

UNIX_S = 1_700_000_000.0


@dataclass
class Edition:
    """A registry as these tests have it: its version, and some bytes."""

    version: int
    body: bytes = b""

    @property
    def whole(self):
        return b"%d/" % self.version + self.body


@dataclass
class Book:
    """A Ledger whose signature is that the first bytes are a number."""

    edition: Edition
    brokers: tuple[str, ...] = ("a", "b", "c")
    adopted: list[str] = field(default_factory=list)
    differs: bool = True
    slices: int = 3

    @property
    def version(self):
        return self.edition.version

    @property
    def digest(self):
        return self.edition.whole[:16]

    def since(self, version):
        if version and self.differs:
            return version, b"%d>" % version + self.edition.whole
        return 0, self.edition.whole

    def check(self, data, since):
        for _ in range(self.slices):
            yield
        if since:
            base, _, data = data.partition(b">")
            if int(base) != self.version:
                raise ProtocolError("the difference is from another one")
        number, slash, body = data.partition(b"/")
        if not slash or not number.isdigit():
            raise ProtocolError("the signature is not valid")
        return Edition(int(number), body)

    def adopt(self, candidate, source, now):
        self.edition = candidate
        self.adopted.append(source)


class World:
    """Cores that hear one another at once."""

    def __init__(self, **versions):
        self.now = 1_000.0
        self.books = {name: Book(Edition(version)) for name, version in versions.items()}
        self.gone = set()
        self.publishers = {}
        self.said = []
        self.cores = {
            name: RegistryCore(name, book, self.gone.__contains__, unix_s=UNIX_S, now=self.now)
            for name, book in self.books.items()
        }

    def meet(self, one, other):
        self.cores[one].on_met(other, self.now)
        self.cores[other].on_met(one, self.now)
        self.run()

    def run(self, seconds=0.0):
        """Deliver what is said, and let time pass."""
        end = self.now + seconds
        while True:
            while self._deliver():
                pass
            due = min(core.due_at for core in self.cores.values())
            if due > end:
                self.now = max(self.now, end)
                return
            self.now = max(self.now, due)
            for core in self.cores.values():
                if core.due_at <= self.now:
                    core.on_timer(self.now)
                core.validate_state()

    def _deliver(self):
        any_said = False
        for name, core in self.cores.items():
            for key, message in core.take_sends():
                any_said = True
                self.said.append((name, key, message))
                if key in self.cores:
                    self.hear(key, name, message)
                elif key in self.publishers:
                    self.publishers[key].hear(self, name, key, message)
            core.validate_state()
        return any_said

    def hear(self, name, key, message):
        core = self.cores[name]
        who = key if isinstance(key, str) else "operator"
        if isinstance(message, RegistryVersion):
            core.on_version(key, who, message, self.now)
        elif isinstance(message, RegistryWanted):
            core.on_wanted(key, message, self.now)
        elif isinstance(message, RegistryPart):
            core.on_part(key, message, self.now)

    def events(self, name, kind):
        return [each for each in self.cores[name].events.take() if isinstance(each, kind)]


class Publisher:
    """Somebody who hands a registry in."""

    def __init__(self, edition):
        self.edition = edition
        self.heard = []

    def begin(self, world, name, route=b"route"):
        world.publishers[route] = self
        world.hear(name, route, RegistryVersion(self.edition.version, self.edition.whole[:16]))
        world.run()

    def hear(self, world, name, route, message):
        if isinstance(message, RegistryWanted):
            whole = self.edition.whole
            end = message.offset + message.parts * PART_BYTES
            for offset in range(message.offset, min(end, len(whole)), PART_BYTES):
                data = whole[offset : min(offset + PART_BYTES, end)]
                world.hear(name, route, RegistryPart(self.edition.version, 0, len(whole), offset, data))
        elif isinstance(message, Published):
            self.heard.append(message)


def test_the_newer_registry_goes_to_whoever_has_an_older_one():
    world = World(a=7, b=5)
    world.meet("a", "b")
    assert world.books["b"].version == 7
    assert world.books["b"].adopted == ["a"]
    assert not world.books["a"].adopted


def test_it_goes_on_from_broker_to_broker():
    world = World(a=7, b=5, c=5)
    world.meet("b", "c")
    world.meet("a", "b")
    assert {book.version for book in world.books.values()} == {7}


def test_who_has_not_said_yet_what_it_has_is_told_of_what_is_new():
    world = World(a=5, b=5)
    world.cores["a"].on_met("b", world.now)
    world.run()
    world.books["a"].edition = Edition(7)
    world.cores["a"].on_changed(world.now)
    world.run(1.0)
    assert world.books["b"].version == 7


def test_who_is_gone_is_told_of_nothing():
    world = World(a=5, b=5)
    world.meet("a", "b")
    world.cores["a"].on_gone("b", world.now)
    world.said.clear()
    world.run(TELL_S + 1)
    assert [message for name, key, message in world.said if (name, key) == ("a", "b")] == []


def test_a_large_one_travels_in_parts_that_are_asked_for():
    world = World(a=7, b=5)
    world.books["a"].edition = Edition(7, bytes(100) * 12_000)
    world.meet("a", "b")
    world.run(0.2)
    assert world.books["b"].edition == world.books["a"].edition
    parts = [message for _, _, message in world.said if isinstance(message, RegistryPart)]
    assert max(len(each.data) for each in parts) == PART_BYTES
    assert len(parts) == -(-len(b"5>" + world.books["a"].edition.whole) // PART_BYTES)


def test_the_difference_is_asked_for_and_all_of_it_where_that_is_of_no_use():
    world = World(a=7, b=5)
    world.meet("a", "b")
    wanted = [message.since for _, _, message in world.said if isinstance(message, RegistryWanted)]
    assert wanted == [5]
    world = World(a=7, b=5)
    world.books["b"].check, check = lambda data, since: check(data.replace(b"5>", b"4>"), since), world.books["b"].check
    world.meet("a", "b")
    wanted = [message.since for _, _, message in world.said if isinstance(message, RegistryWanted)]
    assert wanted == [5, 0]
    assert world.books["b"].version == 7


def test_what_is_published_at_one_broker_reaches_all_and_the_publisher_hears_of_it():
    world = World(a=5, b=5, c=5)
    for one, other in (("a", "b"), ("b", "c"), ("a", "c")):
        world.meet(one, other)
    publisher = Publisher(Edition(6, b"x" * 100_000))
    publisher.begin(world, "a")
    world.run(0.1)
    assert {book.version for book in world.books.values()} == {6}
    assert publisher.heard[-1].version == 6
    assert not publisher.heard[-1].refused
    assert {each.name: each.version for each in publisher.heard[-1].brokers} == {"b": 6, "c": 6}


@pytest.mark.parametrize(("version", "said"), [(4, "newer than 4"), (5, "")])
def test_who_publishes_what_is_no_news_is_told_so(version, said):
    world = World(a=5)
    publisher = Publisher(Edition(version))
    publisher.begin(world, "a")
    assert said in publisher.heard[0].refused
    assert world.books["a"].version == 5


def test_who_publishes_another_registry_of_the_same_number_is_refused():
    world = World(a=5)
    publisher = Publisher(Edition(5, b"other"))
    publisher.begin(world, "a")
    assert "another registry 5" in publisher.heard[0].refused
    assert world.events("a", RegistryForked)


def test_a_published_registry_that_is_none_is_refused_and_told_once():
    world = World(a=5)
    publisher = Publisher(Edition(6))
    publisher.edition = type("Forged", (), {"version": 6, "whole": b"forged"})()
    publisher.begin(world, "a")
    assert "signature" in publisher.heard[0].refused
    assert len(world.events("a", RegistryRefused)) == 1
    assert world.books["a"].version == 5
    assert not [each for _, _, each in world.said if isinstance(each, RegistryWanted)][1:]


def test_only_so_many_may_publish_at_one_time():
    world = World(a=5)
    for number in range(PUBLISHERS_MAX):
        world.cores["a"].on_version(bytes([number]), f"member{number}", RegistryVersion(5), world.now)
    with pytest.raises(ProtocolError, match="publish"):
        Publisher(Edition(5)).begin(world, "a", b"one more")
    world.cores["a"].on_gone(b"\0", world.now)
    Publisher(Edition(5)).begin(world, "a", b"one more")


def test_a_stolen_file_takes_only_places_of_its_own():
    world = World(a=5)
    core = world.cores["a"]
    oldest = Publisher(Edition(5))
    oldest.begin(world, "a", b"oldest")
    for number in range(PUBLISHERS_MAX * 2):
        core.on_version(b"%d" % number, "operator", RegistryVersion(2**62), world.now)
        core.validate_state()
    world.run()
    assert "newer sessions of operator" in oldest.heard[-1].refused
    assert len(core._publishers) == PUBLISHERS_EACH_MAX
    core.on_version(b"another", "another operator", RegistryVersion(5), world.now)
    assert len(core._publishers) == PUBLISHERS_EACH_MAX + 1


def test_who_has_handed_in_garbage_does_not_get_out_of_it_by_coming_anew():
    world = World(a=5)
    for number in range(10):
        forger = Publisher(Edition(6))
        forger.edition = type("Forged", (), {"version": 6, "whole": b"forged"})()
        forger.begin(world, "a", b"%d" % number)
        world.cores["a"].on_gone(b"%d" % number, world.now)
        world.run(0.01)
    assert sum(isinstance(each, RegistryWanted) for _, _, each in world.said) == 1
    assert "try again in 1 s" in forger.heard[-1].refused
    world.run(1.0)
    honest = Publisher(Edition(6, b"true"))
    honest.begin(world, "a", b"later")
    world.run()
    assert world.books["a"].edition == Edition(6, b"true")


@pytest.mark.parametrize("liars", [1, 2, 3])
def test_liars_that_drip_hold_up_the_registry_that_revokes_them_for_a_moment_only(liars):
    world = World(a=5)
    core, names = world.cores["a"], [f"liar{number}" for number in range(liars)]
    for name in names:
        core.on_version(name, name, RegistryVersion(2**62), world.now)
        world.run()
        core.on_part(name, RegistryPart(2**62, 0, 100, 0, b"x"), world.now)
    publisher = Publisher(Edition(6, b"without them"))
    publisher.begin(world, "a")
    world.run(ANOTHER_S * sum(4**number for number in range(liars)) + 0.1)
    assert world.books["a"].version == 6
    assert publisher.heard[-1].version == 6
    assert not publisher.heard[-1].refused


def test_a_source_beside_is_asked_only_if_the_first_one_takes_long():
    world = World(a=5)
    core = world.cores["a"]
    for name in "bc":
        core.on_version(name, name, RegistryVersion(7), world.now)
    world.run(ANOTHER_S - 0.01)
    assert [key for _, key, each in world.said if isinstance(each, RegistryWanted)] == ["b"]
    world.run(0.02)
    assert [key for _, key, each in world.said if isinstance(each, RegistryWanted)] == ["b", "c"]
    core.on_part("c", RegistryPart(7, 0, 3, 0, b"7/x"), world.now)
    world.run(0.01)
    assert world.books["a"].edition == Edition(7, b"x")
    core.on_part("b", RegistryPart(7, 0, 3, 0, b"7/x"), world.now)
    world.run(600)
    assert not world.events("a", RegistryRefused), "the slower one is not to blame"


def test_members_that_send_at_one_time_are_bounded():
    world = World(a=5)
    for number in range(3 * TRANSFERS_MAX):
        world.cores["a"].on_version(f"b{number}", f"b{number}", RegistryVersion(9), world.now)
    for _ in range(30):
        world.run(0.05)
    assert sum(isinstance(each, RegistryWanted) for _, _, each in world.said) <= TRANSFERS_MAX


def test_a_liar_keeps_nobody_from_the_registry_of_another():
    world = World(a=5, b=7)
    core = world.cores["a"]
    core.on_version("c", "c", RegistryVersion(2**62), world.now)
    world.run()
    world.meet("a", "b")
    world.run(ANOTHER_S + 0.1)
    assert world.books["a"].version == 7
    world.run(PART_S_MAX)
    refused = world.events("a", RegistryRefused)
    assert [each.about for each in refused] == ["c"]


def test_a_liar_is_asked_ever_less():
    world = World(a=5)
    world.cores["a"].on_version("c", "c", RegistryVersion(9), world.now)
    world.run(600)
    wanted = [each for _, _, each in world.said if isinstance(each, RegistryWanted)]
    assert 5 <= len(wanted) <= 16


@pytest.mark.parametrize(
    "part",
    [
        RegistryPart(9, 0, 4, 1, b"9/x"),
        RegistryPart(9, 3, 4, 0, b"9/xy"),
        RegistryPart(9, 0, 2, 0, b"9/xy"),
        RegistryPart(9, 0, 4, 0, b""),
    ],
)
def test_parts_that_do_not_fit_are_passed_over_and_the_source_is_left_when_time_is_up(part):
    world = World(a=5)
    core = world.cores["a"]
    core.on_version("c", "c", RegistryVersion(9), world.now)
    core.on_part("c", part, world.now)
    world.run(PART_S_MAX + 0.1)
    assert world.events("a", RegistryRefused)
    assert world.books["a"].version == 5


def test_who_begins_again_and_again_is_left_at_last():
    world = World(a=5)
    core = world.cores["a"]
    core.on_version("c", "c", RegistryVersion(9), world.now)
    world.run()
    for _ in range(int(TRANSFER_S_MAX)):
        core.on_part("c", RegistryPart(9, 0, 100, 0, b"9/"), world.now)
        assert not world.events("a", RegistryRefused)
        world.run(1.0)
    world.run(0.1)
    assert world.events("a", RegistryRefused)


def test_a_source_that_gets_a_newer_one_meanwhile_is_not_to_blame():
    world = World(a=5)
    core = world.cores["a"]
    core.on_version("c", "c", RegistryVersion(8), world.now)
    core.on_part("c", RegistryPart(8, 0, 4, 0, b"8/"), world.now)
    core.on_part("c", RegistryPart(9, 0, 4, 2, b"xy"), world.now)
    core.on_part("c", RegistryPart(9, 0, 4, 0, b"9/"), world.now)
    core.on_part("c", RegistryPart(9, 0, 4, 2, b"xy"), world.now)
    world.run(0.1)
    assert world.books["a"].edition == Edition(9, b"xy")
    assert not world.events("a", RegistryRefused)


def test_what_comes_from_elsewhere_meanwhile_makes_a_difference_of_no_use():
    world = World(a=5)
    core = world.cores["a"]
    core.on_version("c", "c", RegistryVersion(8), world.now)
    world.run()
    world.books["a"].edition = Edition(6)
    core.on_changed(world.now)
    core.on_part("c", RegistryPart(8, 5, 5, 0, b"5>8/x"), world.now)
    world.run(0.1)
    assert world.books["a"].version == 6
    assert not world.events("a", RegistryRefused)
    core.on_part("c", RegistryPart(8, 6, 5, 0, b"6>8/x"), world.now)
    world.run(0.1)
    assert world.books["a"].version == 8


def test_parts_that_nobody_has_asked_for_are_passed_over():
    world = World(a=5)
    world.cores["a"].on_part("c", RegistryPart(9, 0, 2, 0, b"9/"), world.now)
    world.run(1)
    assert world.books["a"].version == 5


def test_what_says_to_be_newer_and_is_not_is_refused():
    world = World(a=5)
    core = world.cores["a"]
    core.on_version("c", "c", RegistryVersion(9), world.now)
    core.on_part("c", RegistryPart(9, 0, 2, 0, b"4/"), world.now)
    world.run()
    assert "not newer" in str(world.events("a", RegistryRefused)[0])
    assert world.books["a"].version == 5


def test_a_source_that_goes_in_the_middle_is_followed_by_another_one():
    world = World(a=5, b=7)
    core = world.cores["a"]
    core.on_version("c", "c", RegistryVersion(9), world.now)
    core.on_gone("c", world.now)
    world.meet("a", "b")
    assert world.books["a"].version == 7
    assert not world.events("a", RegistryRefused)


class TestReady:
    def test_nodes_wait_until_every_other_broker_was_heard(self):
        world = World(a=5, b=7, c=5)
        core = world.cores["a"]
        assert not core.ready
        world.meet("a", "b")
        assert not core.ready
        world.meet("a", "c")
        world.run(0.1)
        assert core.ready
        assert world.books["a"].version == 7

    def test_not_while_a_newer_one_is_on_its_way(self):
        world = World(a=5, b=5, c=5)
        core = world.cores["a"]
        core.on_version("b", "b", RegistryVersion(9), world.now)
        core.on_version("c", "c", RegistryVersion(5), world.now)
        world.run(0.5)
        assert not core.ready

    def test_nor_when_an_older_word_comes_last_over_another_connection(self):
        world = World(a=5, c=5)
        core = world.cores["a"]
        at_ms = int(UNIX_S * 1000)
        core.on_version("b", "b", RegistryVersion(9, b"9/", at_ms + 8), world.now)
        core.on_version("b", "b", RegistryVersion(5, b"5/", at_ms), world.now)
        world.meet("a", "c")
        world.run(0.1)
        assert not core.ready
        assert core.versions["b"] == 9

    def test_but_for_one_that_has_come_back_with_an_older_one(self):
        world = World(a=5, c=5)
        core = world.cores["a"]
        at_ms = int(UNIX_S * 1000)
        core.on_version("b", "b", RegistryVersion(9, b"9/", at_ms), world.now)
        core.on_version("b", "b", RegistryVersion(5, b"5/", at_ms + 1), world.now)
        world.meet("a", "c")
        world.run(0.1)
        assert core.ready
        assert core.versions["b"] == 5

    def test_brokers_that_are_not_there_are_not_waited_for(self):
        world = World(a=5)
        world.gone |= {"b", "c"}
        world.run(0.1)
        assert world.cores["a"].ready

    def test_who_was_heard_and_is_gone_is_not_waited_for(self):
        world = World(a=5, c=5)
        core = world.cores["a"]
        core.on_version("b", "b", RegistryVersion(5), world.now)
        core.on_gone("b", world.now)
        world.run(0.1)
        assert not core.ready
        world.meet("a", "c")
        world.run(0.1)
        assert core.ready

    def test_but_for_one_that_had_something_newer_and_may_come_again(self):
        world = World(a=5, c=5)
        core = world.cores["a"]
        core.on_version("b", "b", RegistryVersion(9), world.now)
        core.on_gone("b", world.now)
        world.meet("a", "c")
        world.run(0.1)
        assert not core.ready
        world.gone.add("b")
        world.run(0.1)
        assert core.ready

    def test_and_nobody_for_ever(self):
        world = World(a=5)
        world.run(CATCH_UP_S_MAX - 0.1)
        assert not world.cores["a"].ready
        world.run(0.2)
        assert world.cores["a"].ready
        assert "b, c" in str(world.events("a", RegistryLate)[0])

    def test_a_broker_without_a_registry_lets_nobody_in(self):
        world = World(a=0)
        world.gone |= {"b", "c"}
        world.run(CATCH_UP_S_MAX * 2)
        assert not world.cores["a"].ready


class TestClocks:
    def test_the_time_of_the_net_is_that_of_most(self):
        world = World(a=5)
        core = world.cores["a"]
        for name, off_s in (("b", 7_200), ("c", 7_201)):
            core.on_version(name, name, RegistryVersion(5, b"5/", int((UNIX_S + off_s) * 1000)), world.now)
        assert core.clocks.net_s(world.now) == pytest.approx(UNIX_S + 7_200)
        core.on_clock(UNIX_S, world.now)
        core.on_clock(UNIX_S, world.now)
        told = world.events("a", ClockDiffers)
        assert [each.off_s for each in told] == [-7_200]

    def test_of_two_that_disagree_the_earlier_one_counts(self):
        world = World(a=5)
        core = world.cores["a"]
        core.on_version("b", "b", RegistryVersion(5, b"5/", int((UNIX_S - 3_600) * 1000)), world.now)
        assert core.clocks.net_s(world.now) == pytest.approx(UNIX_S - 3_600)
        core.on_version("b", "b", RegistryVersion(5, b"5/", int((UNIX_S + 3_600) * 1000)), world.now)
        assert core.clocks.net_s(world.now) == pytest.approx(UNIX_S)

    def test_a_clock_that_is_set_is_believed_again(self):
        world = World(a=5)
        core = world.cores["a"]
        core.on_clock(UNIX_S + 3_600, world.now)
        assert core.clocks.net_s(world.now) == pytest.approx(UNIX_S + 3_600)

    def test_others_are_told_at_once_of_a_clock_that_was_set_and_not_of_one_that_goes(self):
        world = World(a=5, b=5, c=5)
        for pair in ("ab", "bc", "ac"):
            world.meet(*pair)
        world.run(1.0)
        for core in world.cores.values():
            core.on_clock(UNIX_S + 1.0, world.now)
        assert not any(core.take_sends() for core in world.cores.values())
        for core in world.cores.values():
            core.on_clock(UNIX_S + 3_600, world.now)
        world.run(1.0)
        assert [core.clocks.off_s for core in world.cores.values()] == pytest.approx([0.0, 0.0, 0.0], abs=1.0)

    def test_others_are_told_again_and_again(self):
        world = World(a=5, b=5)
        world.meet("a", "b")
        before = len(world.said)
        world.run(TELL_S + 1)
        assert len(world.said) > before
