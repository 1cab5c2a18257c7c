"""How brokers are reached: their addresses, one after another, and the pauses between the rounds."""

import random
from collections.abc import Iterable
from typing import Final

from braidmq.core.backoff import full_jitter
from braidmq.core.links.link import AGGRIEVING, HARMLESS, Action, Close, Failure, Link, LinkState, Open, Resolve
from braidmq.settings import Settings

LASTED_S: Final = 1.0
"""A session that a broker ends sooner counts as a failure, however kindly it says so: else it could be asked for again
and again without a pause."""

SLOW_S: Final = 1.0
"""After this time of an attempt it is told how far it has come: far longer than it usually takes, and well below the
time that a caller waits."""

AGGRIEVED_S: Final = 10.0
"""How long a broker is left alone the first time that this member has left it for what it sent. Each time costs the
calls that are on it a failover, so a broker that floods must not come back as often as one that has crashed."""

AGGRIEVED_S_MAX: Final = 120.0
"""How long at most, when it goes on each time."""

PARDON_S: Final = 300.0
"""After this time without a reason to leave it, a broker counts as new."""

TARGET_S_MAX: Final = 1.5
"""How long an address may take to answer while there is another one to try: some round trips, even over a WAN. The
last one has handshake_s_max."""


class Dialing:
    """Makes connections to brokers, in **rounds**: the addresses of one are looked up, and then tried in turn.

    `connect` begins an attempt of a link that waits, `on_resolved` goes on with it, and `why_late` tells when it has
    lasted long enough. Of how it has ended it is told by `on_success`, or by `pause`, which sets when the next one
    begins: at once while addresses are left in this round.

    Attributes:
        actions: addresses to look up, and sockets to open and close, in order; the owner takes them.
    """

    __slots__ = ("_rng", "_settings", "actions")

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self.actions: list[Action] = []

    def connect(self, link: Link, now: float) -> None:
        """Try the next address, or begin a new round of them."""
        link.state = LinkState.CONNECTING
        link.since = now
        link.resolving = not link.targets
        link.met = False
        if link.targets:
            self._open_next(link)
        else:
            self.actions.append(Resolve(link.name, link.address.endpoints))

    def close(self, link: Link, *, silent: bool = False) -> None:
        """Close the socket of a link; for `silent` see Close."""
        self.actions.append(Close(link.name, silent))

    def hasten(self, link: Link, at: float) -> None:
        """Let a link that waits be tried at `at`, however long its pause had grown."""
        if link.state is LinkState.WAITING:
            link.wake_at = min(link.wake_at, at)

    def on_resolved(self, link: Link, addresses: Iterable[str], now: float) -> bool:
        """Handle what was found behind the endpoints of a link that looks them up; return whether its attempt goes on.

        If that has ended meanwhile, the next one has the addresses. One that worked last is tried first; it may be
        right still if DNS knows nothing now.
        """
        link.resolving = False
        targets = list(dict.fromkeys(addresses))
        if link.last_good and (link.last_good in targets or not targets):
            targets = [link.last_good, *(target for target in targets if target != link.last_good)]
        link.targets = targets
        if link.state is LinkState.WAITING:
            if targets:
                self.hasten(link, now)
            return True
        if not targets:
            return False
        link.since = now  # the time of the lookup is not the address's
        self._open_next(link)
        return True

    def why_late(self, link: Link, now: float) -> Failure | None:
        """Return why an attempt has failed that has outlasted its time; None if it has not.

        A lookup that hangs is no failure yet where an address has worked before: that one is tried.
        """
        lasted_s = now - link.since
        link.slow = lasted_s > SLOW_S
        if lasted_s <= (TARGET_S_MAX if link.targets else self._settings.handshake_s_max):
            return None
        if not link.resolving:
            return Failure.MUTE if link.met else Failure.NO_ANSWER
        if not link.last_good:
            return Failure.UNRESOLVED
        self.on_resolved(link, (), now)
        return None

    def on_success(self, link: Link) -> None:
        """Note that there is a session over the address that was tried."""
        link.last_good = link.target
        link.targets = []

    def pause(self, link: Link, failure: Failure | None, now: float, *, was_open: bool) -> None:
        """Set when a link is tried again whose attempt has failed, or whose session has ended if it `was_open`.

        Pauses between rounds grow with each failure, with full jitter. A session that has lasted ends their growth,
        unless this member has left it for what its broker sent: then another pause grows from one time to the next.
        """
        settings = self._settings
        if was_open and failure not in AGGRIEVING:
            lasted_s = now - link.welcomed_at
            if failure is None or lasted_s >= (LASTED_S if failure in HARMLESS else settings.reconnect_s_max):
                link.failures = 0
        if link.targets:
            link.wake_at = now
        else:
            link.wake_at = now + full_jitter(settings.reconnect_s, settings.reconnect_s_max, link.failures, self._rng)
            link.failures += 1
        if failure in AGGRIEVING:
            if now - link.aggrieved_at > PARDON_S:
                link.aggrieved_s = AGGRIEVED_S
            link.aggrieved_at = now
            link.wake_at = max(link.wake_at, now + link.aggrieved_s)
            link.aggrieved_s = min(AGGRIEVED_S_MAX, 2.0 * link.aggrieved_s)

    def validate_state(self, link: Link) -> None:
        """Assert what must hold of a link between two inputs. For tests and the simulator."""
        if link.state is LinkState.WAITING:
            assert link.wake_at <= link.since + max(self._settings.reconnect_s_max, AGGRIEVED_S_MAX)

    def _open_next(self, link: Link) -> None:
        link.target = link.targets.pop(0)
        link.met = False
        address = link.address
        former = address.former_key and link.failures % 2  # the broker may not have taken its new key yet
        self.actions.append(Open(link.name, link.target, address.former_key if former else address.key))
