"""Where there is no worker for a service: whether a call waits for one, or is told so at once."""

from collections.abc import Collection

from braidmq.core.client.call import Call, Stage
from braidmq.members import Member
from braidmq.settings import Settings
from braidmq.wire.envelope import Reason


class WorkerWait:
    """Whether calls wait for workers, by the setting and by what calls say themselves.

    `learn` is told of each list of services, as `wait_for_worker` may be for those only that have had a worker; all
    else asks.

    Attributes:
        member: this node, by its newest certificate.
    """

    __slots__ = ("_known", "_settings", "member")

    def __init__(self, settings: Settings, member: Member) -> None:
        self._settings = settings
        self.member = member  # by its own certificate: brokers list no service to whoever may not call it
        self._known: set[bytes] = set()

    def learn(self, services: Collection[bytes]) -> None:
        """Handle which services have a worker at a broker."""
        if not self._known.issuperset(services):
            most = self._settings.services_max
            if len(self._known) + len(services) > most:
                self._known.clear()
            self._known.update(list(services)[:most])

    def waits(self, call: Call) -> bool:
        """Whether a call waits where there is no worker, instead of being told so."""
        if call.waits is not None:
            return call.waits
        setting = self._settings.wait_for_worker
        return setting == "always" or (setting == "known" and call.service in self._known)

    def may_wait(self, call: Call) -> bool:
        """Whether a call waits for a worker instead of being sent; what it may not call a broker had better tell."""
        return self.waits(call) and self.may_call(call)

    def may_call(self, call: Call) -> bool:
        """Whether this node may make a call, by its own certificate."""
        return self.member.may_call(call.service.decode())

    def goes_on(self, call: Call) -> bool:
        """Whether a call waits for a worker now, or for its broker to tell that it has lost its last one."""
        return call.stage is Stage.AWAITING or (
            call.stage is Stage.PAUSED and call.rejection == Reason.NO_WORKER and self.waits(call)
        )

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert len(self._known) <= self._settings.services_max
