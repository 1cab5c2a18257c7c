"""The registry in motion: who has a newer one, how it gets here, and who has to hear of it.

It does not matter who hands a registry on, as the authority has signed it: a liar can keep it from travelling for a
moment, no more, as another source is asked beside one that takes long. A broker that starts hears the others before
nodes are let in, for a bounded time.
"""

import math
from collections.abc import Callable
from typing import Final

from braidmq.core.events.log import EventLog
from braidmq.core.events.registry import (
    ClockDiffers,
    RegistryForked,
    RegistryInForce,
    RegistryLate,
    RegistryRefused,
)
from braidmq.core.registry.clocks import OFF_S_MAX, Clocks
from braidmq.core.registry.handing import Handing
from braidmq.core.registry.ledger import Candidate, Ledger
from braidmq.core.registry.source import Key, Rest, Source
from braidmq.core.registry.transfer import Transfer
from braidmq.errors import ProtocolError
from braidmq.wire.kinds import Control
from braidmq.wire.limits import TEXT_CHARS_MAX
from braidmq.wire.registry import BrokerVersion, Published, RegistryPart, RegistryVersion, RegistryWanted

CATCH_UP_S_MAX: Final = 2.0
"""How long a broker that has started waits for the others before it lets nodes in: longer than connections to those
that are there take, and far shorter than anybody's patience."""

PART_S_MAX: Final = 2.0
"""How long a source may take for what was asked of it, before another one is asked."""

TRANSFER_S_MAX: Final = 60.0
"""How long all of a registry may take: 32 MiB over a slow line."""

ANOTHER_S: Final = 0.25
"""How long one source may take before another one is asked beside it, and four times as long with each further one:
liars must not keep a registry from travelling in which they are revoked, nor slow lines be asked for all at once."""

TRANSFERS_MAX: Final = 4
"""Members that may be sending a registry at one time: each may be of 32 MiB."""

TELL_S: Final = 30.0
"""How often the others are told which registry this broker has, and what time it is, if there is nothing new."""

PUBLISHERS_MAX: Final = 64
"""Sessions that may publish at one time: they are of people, and their scripts."""

PUBLISHERS_EACH_MAX: Final = 4
"""Sessions of one member that may publish at one time; a further one takes the place of the oldest, so that a stolen
file leaves the places of others alone."""

RESTS_MAX: Final = 2_048
"""Members of which it is remembered that they have failed: all brokers, and all who publish."""

LOOK_S: Final = 0.02
"""How often it is looked whether the others were heard, while nodes wait to be let in."""

FAR_NAMES_MAX: Final = 8
"""Brokers that a log names, of those that were not heard."""


class RegistryCore:
    """The registry of one broker.

    Inputs: `on_met`, `on_gone`, `on_published`, `on_version`, `on_wanted`, `on_part`, `on_clock`, `on_changed`,
    `on_timer`. Outputs: `take_sends`, `due_at`, `ready`, `events`, and what `ledger` is given to adopt.

    Attributes:
        due_at: when `on_timer` is due.
        ready: whether nodes may be let in.
        events: what is worth a line in the log.
        clocks: what time it is for the net.

    Args:
        name: of this broker.
        ledger: has the registry that is in force.
        unreachable: says whether another broker was tried and is not there.
        unix_s: what time it is on this machine.
        now: the time.
    """

    __slots__ = (
        "_another_at", "_busy", "_clock_told", "_handing", "_heard", "_ledger", "_met", "_name", "_news_for",
        "_publishers", "_ready_by", "_rests", "_sends", "_sources", "_tell_at", "_unreachable", "clocks", "due_at",
        "events", "ready",
    )  # fmt: skip

    def __init__(
        self, name: str, ledger: Ledger, unreachable: Callable[[str], bool], *, unix_s: float, now: float
    ) -> None:
        self.events = EventLog()
        self.clocks = Clocks(unix_s, now)
        self.ready = False
        self.due_at = now
        self._name = name
        self._ledger = ledger
        self._unreachable = unreachable
        self._ready_by = now + CATCH_UP_S_MAX
        self._handing = Handing(ledger, now)
        self._met: dict[str, None] = {}
        self._heard: dict[str, int] = {}
        self._rests: dict[str, Rest] = {}
        self._sources: dict[Key, Source] = {}
        self._publishers: dict[bytes, Source] = {}
        self._news_for: dict[bytes, None] = {}
        self._busy: dict[Source, None] = {}
        self._another_at = now
        self._sends: list[tuple[Key, Control]] = []
        self._tell_at = now + TELL_S
        self._clock_told = 0.0

    # -- outputs

    def take_sends(self) -> list[tuple[Key, Control]]:
        """Return the messages that are due: to brokers by their names, to sessions by their routes."""
        sends, self._sends = self._sends, []
        return sends

    @property
    def versions(self) -> dict[str, int]:
        """Which registry the other brokers have that are connected, by name."""
        return {key: source.version for key, source in self._sources.items() if isinstance(key, str)}

    # -- inputs

    def on_met(self, name: str, now: float) -> None:
        """Note that there is a session with another broker: tell it what this one has, and what it gets from now on."""
        self._met[name] = None
        self._sends.append((name, self._own(now)))

    def on_gone(self, key: Key, now: float) -> None:
        """Note that there is no session any more with a broker, or with whoever publishes."""
        self._handing.forget(key, now)
        if isinstance(key, str):
            self._met.pop(key, None)
        source = self._sources.pop(key, None)
        if source is None:
            return
        if isinstance(key, bytes):
            self._publishers.pop(key, None)
            self._news_for.pop(key, None)
        else:
            self.clocks.forget(key)
            self._tell_publishers()
        if source.checking is None:
            self._end_transfer(source)
        self._go_on(now)

    def on_version(self, key: Key, name: str, told: RegistryVersion, now: float) -> None:
        """Handle which registry somebody has; what has been overtaken on its way is passed over.

        Args:
            key: a broker's name; of a member that may publish, the route of its session.
            name: the member's.
            told: what it has said.
            now: the time.

        Raises:
            ProtocolError: too many publish already.
        """
        source = self._sources.get(key)
        if source is None:
            if isinstance(key, bytes):
                self._make_way(name, now)
            source = self._sources[key] = Source(key, name, self._rest_of(name, now))
            if isinstance(key, bytes):
                self._publishers[key] = source
        if not source.hear(told):
            return
        if isinstance(key, str):
            if not self.ready:
                self._heard[key] = told.version
            if told.unix_ms:
                self.clocks.hear(key, told.unix_ms / 1000, now)
            self._tell_publishers()
        elif told.version > self._ledger.version and now < source.rest.free_at:
            wait_s = math.ceil(source.rest.free_at - now)
            source.version = 0
            self._sends.append(
                (key, self._published(f"what {name} has handed in lately was none: try again in {wait_s} s"))
            )
            return
        self._compare(source)
        self._go_on(now)

    def on_wanted(self, key: Key, wanted: RegistryWanted, now: float) -> None:
        """Handle that somebody asks for parts of the registry that is in force."""
        self._handing.ask(key, wanted, now)
        self._sends += self._handing.take(now)
        self._set_due(now)

    def on_part(self, key: Key, part: RegistryPart, now: float) -> None:
        """Handle a part of a registry; one that nobody has asked for is passed over."""
        source = self._sources.get(key)
        if source is None or source.transfer is None or source.checking is not None:
            return
        transfer = source.transfer
        if transfer.add(part):
            transfer.due = now + PART_S_MAX
            if transfer.complete:
                source.checking = self._ledger.check(transfer.data, transfer.since)
            elif transfer.asks:
                self._sends.append((key, transfer.wanted()))
        self._set_due(now)

    def on_clock(self, unix_s: float, now: float) -> None:
        """Note what time it is on this machine. When it was set, the others are told at once: else they differ."""
        before_s = self.clocks.own_s(now)
        self.clocks.set(unix_s, now)
        if abs(unix_s - before_s) > OFF_S_MAX:
            self._tell_all(now)
        off_s = self.clocks.off_s
        if abs(off_s) > OFF_S_MAX:
            if abs(off_s - self._clock_told) > OFF_S_MAX:
                self._clock_told = off_s
                self.events.add(ClockDiffers(self._name, round(off_s)))
        else:
            self._clock_told = 0.0

    def on_changed(self, now: float) -> None:
        """Note that the ledger has got another registry from elsewhere."""
        self._end_transfers()  # what comes may be the difference from the one before
        self._tell_all(now)
        self._go_on(now)

    def on_timer(self, now: float) -> None:
        """Do what is due."""
        self.events.on_timer(now)
        self._check_on(now)
        for source in list(self._busy):
            transfer = source.transfer
            if transfer is not None and source.checking is None and now >= min(transfer.due, transfer.ends_at):
                self._fail(source, "it does not come", now)
        if now >= self._handing.due_at:
            self._sends += self._handing.take(now)
        if now >= self._tell_at:
            self._tell_all(now)
        for route in self._news_for:
            self._sends.append((route, self._published("")))
        self._news_for.clear()
        self._go_on(now)
        if not self.ready:
            self._look_whether_ready(now)
            self._set_due(now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert len(self._busy) <= TRANSFERS_MAX
        assert len({each.name for each in self._busy}) == len(self._busy)
        assert all(each.transfer is not None for each in self._busy)
        assert all(each.transfer is None or each in self._busy for each in self._sources.values())
        assert all(each.checking is None or each in self._busy for each in self._sources.values())
        assert all(self._sources.get(each.key) is each for each in self._busy if each.checking is None)
        assert len(self._rests) <= RESTS_MAX
        assert len(self._publishers) <= PUBLISHERS_MAX
        assert self._publishers.keys() <= self._sources.keys()
        assert self._news_for.keys() <= self._publishers.keys()
        assert not self.ready or not self._heard
        self.events.validate_state()

    # -- inner

    def _own(self, now: float) -> RegistryVersion:
        unix_ms = max(0, int(self.clocks.own_s(now) * 1000))
        return RegistryVersion(self._ledger.version, self._ledger.digest, unix_ms)

    def _compare(self, source: Source) -> None:
        """Tell of a registry with the same number that is another one; answer whoever publishes what is no news."""
        same = source.version == self._ledger.version
        forked = same and source.digest != self._ledger.digest
        if forked and source.told != source.version:
            source.told = source.version
            self.events.add(RegistryForked(source.name, source.version))
        if isinstance(source.key, bytes) and source.version <= self._ledger.version:
            why = ""
            if forked:
                why = f"another registry {source.version} is in force: make one more change, and publish it"
            elif not same:
                why = f"registry {self._ledger.version} is in force, which is newer than {source.version}"
            self._sends.append((source.key, self._published(why)))

    def _make_way(self, name: str, now: float) -> None:
        """See that one more session of a member may publish. Raises ProtocolError."""
        own = [key for key, each in self._publishers.items() if each.name == name]
        if len(own) >= PUBLISHERS_EACH_MAX:
            self._sends.append((own[0], self._published(f"{PUBLISHERS_EACH_MAX} newer sessions of {name} publish")))
            self.on_gone(own[0], now)
        elif len(self._publishers) >= PUBLISHERS_MAX:
            raise ProtocolError(f"{PUBLISHERS_MAX} sessions publish already")

    def _rest_of(self, name: str, now: float) -> Rest:
        rest = self._rests.pop(name, None) or Rest(now)
        if len(self._rests) >= RESTS_MAX:
            del self._rests[next(iter(self._rests))]
        self._rests[name] = rest
        return rest

    @property
    def _askable(self) -> list[Source]:
        """The sources that have a newer registry, and may be asked for it once they are not left alone any more."""
        if len(self._busy) >= TRANSFERS_MAX:
            return []
        version, names = self._ledger.version, {each.name for each in self._busy}
        return [each for each in self._sources.values() if each.version > version and each.name not in names]

    def _go_on(self, now: float) -> None:
        """Ask whoever has the newest registry for it, if it is newer than what is in force."""
        if not self._busy or now >= self._another_at:
            newer = [each for each in self._askable if now >= each.rest.free_at]
            if newer:
                source = min(newer, key=lambda each: (each.rest.pause_s, -each.version))  # who has failed comes last
                asked = 0 if source.whole else self._ledger.version
                source.transfer = Transfer(asked, now + PART_S_MAX, now + TRANSFER_S_MAX)
                self._another_at = now + ANOTHER_S * 4 ** len(self._busy)
                self._busy[source] = None
                self._sends.append((source.key, source.transfer.wanted()))
        self._set_due(now)

    def _check_on(self, now: float) -> None:
        """Check a slice of what has come, and put it in force if that was the last one."""
        source = next((each for each in self._busy if each.checking is not None), None)
        if source is None or source.checking is None or source.transfer is None:
            return
        del self._busy[source]  # the others have their turn before its next one
        self._busy[source] = None
        try:
            next(source.checking)
        except StopIteration as end:
            candidate: Candidate = end.value
            if candidate.version <= self._ledger.version:
                self._fail(source, f"it is registry {candidate.version}, which is not newer", now)
                return
            source.on_success()
            self._end_transfers()
            self._ledger.adopt(candidate, source.name, now)
            self.events.add(RegistryInForce(source.name, candidate.version))
            self._tell_all(now)
            if isinstance(source.key, bytes) and source.key in self._publishers:
                self._news_for[source.key] = None
        except ProtocolError as error:
            if source.transfer.since:  # perhaps this broker's own one is another one than the difference is from
                source.whole = True
                self._end_transfer(source)
            else:
                self._fail(source, str(error), now)
        except Exception:
            self._fail(source, "it could not be checked", now)  # else it would be tried again at once, for ever
            raise

    def _fail(self, source: Source, why: str, now: float) -> None:
        """Leave a source alone whose registry does not come, or is none."""
        self._end_transfer(source)
        source.on_failure(now)
        if source.told != source.version:
            source.told = source.version
            self.events.add(RegistryRefused(source.name, self._ledger.version, why))
        if isinstance(source.key, bytes) and source.key in self._publishers:
            self._sends.append((source.key, self._published(why)))
            source.version = 0  # it has had its answer, and may try again

    def _end_transfer(self, source: Source) -> None:
        source.transfer = source.checking = None
        self._busy.pop(source, None)

    def _end_transfers(self) -> None:
        for source in list(self._busy):
            self._end_transfer(source)

    def _tell_all(self, now: float) -> None:
        """Tell all brokers that there is a session with, whether they have said by now what they have, or not."""
        own = self._own(now)
        self._tell_at = now + TELL_S
        self._sends += [(name, own) for name in self._met]

    def _tell_publishers(self) -> None:
        """Let those who have published hear who has it by now; with the next tick, as many may tell at one time."""
        self._news_for |= dict.fromkeys(
            key for key, each in self._publishers.items() if each.version == self._ledger.version
        )

    def _published(self, why: str) -> Published:
        brokers = [BrokerVersion(name, version) for name, version in self.versions.items()]
        return Published(self._ledger.version, why[:TEXT_CHARS_MAX], brokers)

    def _look_whether_ready(self, now: float) -> None:
        """Let nodes in once every other broker was heard and has nothing newer, or is not there, or time is up."""
        version = self._ledger.version
        if not version:
            return
        missing = [name for name in self._ledger.brokers if name != self._name and self._awaits(name)]
        if missing and now < self._ready_by:
            return
        self.ready = True
        self._heard.clear()
        if missing:
            more = f" and {len(missing) - FAR_NAMES_MAX} more" if len(missing) > FAR_NAMES_MAX else ""
            self.events.add(RegistryLate(self._name, version, ", ".join(missing[:FAR_NAMES_MAX]) + more))

    def _awaits(self, name: str) -> bool:
        """Whether another broker has to be heard yet, or has something newer. One that has come and gone was heard."""
        if self._heard.get(name, math.inf) <= self._ledger.version:
            return False
        return name in self._sources or not self._unreachable(name)

    def _set_due(self, now: float) -> None:
        due = min(self._tell_at, self._handing.due_at)
        if self._news_for:
            due = now
        for source in self._busy:
            transfer = source.transfer
            if source.checking is not None:
                due = now
            elif transfer is not None:
                due = min(due, transfer.due, transfer.ends_at)
        another_at = self._another_at if self._busy else -math.inf
        due = min([due, *(max(another_at, each.rest.free_at) for each in self._askable)])
        if not self.ready:
            due = min(due, now + LOOK_S)
        self.due_at = max(due, -math.inf)
