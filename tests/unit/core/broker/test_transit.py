import pytest

from braidmq.core.broker.key_usage import KeyUsage
from braidmq.core.broker.transit import Offer, Service, Session, SessionState, Transit
from braidmq.core.liveness import Silence
from braidmq.members import Member, Role
from braidmq.settings import Settings
from braidmq.wire.envelope import VERSION


def session(name: str = "w") -> Session:
    return Session(name.encode(), KeyUsage(name), Member(name, Role.NODE), Silence(1.5, 3.0), 1.0, 0.0)


def offer(service: Service, worker: Session, credit: int = 1) -> Offer:
    made = worker.offers[service.name] = service.offers[worker] = Offer(service, worker)
    made.credit = credit
    service.granting += credit > 0
    service.offer(made)
    return made


def transit(service: Service, client: str = "c") -> Transit:
    return Transit(
        session(client),
        1,
        bytes(16),
        service,
        deadline=1.0,
        sure_until=1.0,
        size_bytes=100,
        version=VERSION,
        flags=0,
        retry_count=0,
        code=0,
        extension_bytes=0,
        working_ms=1000,
        interval_s=1000 / 1000.0,
    )


class TestService:
    @pytest.mark.parametrize("balance", ["least-outstanding", "round-robin"])
    def test_open_worker_with_credit_is_offered(self, balance: str) -> None:
        settings = Settings(balance=balance)  # type: ignore[arg-type]
        service = Service(b"echo", settings)
        made = offer(service, session())
        assert service.balancer.pick() is made
        service.validate_state(settings)

    @pytest.mark.parametrize("state", [SessionState.SUSPECT, SessionState.LEAVING])
    def test_worker_that_is_not_open_is_not_offered(self, state: SessionState) -> None:
        service = Service(b"echo", Settings())
        worker = session()
        made = offer(service, worker)
        worker.state = state
        service.offer(made)
        assert service.balancer.pick() is None
        assert not service.available()
        worker.state = SessionState.OPEN
        service.offer(made)
        assert service.balancer.pick() is made
        assert service.available()

    def test_worker_that_has_no_place_is_not_offered_but_counts(self) -> None:
        service = Service(b"echo", Settings())
        made = offer(service, session())
        made.full = True
        service.offer(made)
        assert service.balancer.pick() is None
        assert service.available()
        assert service.free_credit() == 0
        service.validate_state(Settings())

    def test_avoided_workers_are_picked_only_if_there_is_no_other(self) -> None:
        service = Service(b"echo", Settings())
        first, second = offer(service, session("w1")), offer(service, session("w2"))
        assert service.pick_other([first]) is second
        assert service.pick_other([second]) is first
        assert service.pick_other([first, second]) in (first, second)
        service.validate_state(Settings())

    def test_service_is_available_while_its_workers_are_busy(self) -> None:
        service = Service(b"echo", Settings())
        made = offer(service, session())
        made.outstanding = 1
        service.offer(made)
        assert service.balancer.pick() is None
        assert service.available()

    def test_service_whose_workers_grant_nothing_is_not_available(self) -> None:
        service = Service(b"echo", Settings())
        offer(service, session(), credit=0)
        assert not service.available()


class TestValidateState:
    """A check that cannot fail is none: each of these states is wrong."""

    def broken(self, service: Service) -> None:
        with pytest.raises(AssertionError):
            service.validate_state(Settings())

    def test_sees_a_worker_that_is_not_offered(self) -> None:
        service = Service(b"echo", Settings())
        service.balancer.remove(offer(service, session()))
        self.broken(service)

    def test_sees_a_suspect_worker_that_is_offered(self) -> None:
        service = Service(b"echo", Settings())
        worker = session()
        offer(service, worker)
        worker.state = SessionState.SUSPECT
        self.broken(service)

    def test_sees_a_request_of_another_service(self) -> None:
        service = Service(b"echo", Settings())
        other = transit(Service(b"other", Settings()))
        service.queue.add(other.usage, other)
        self.broken(service)

    def test_sees_a_request_that_waits_beside_free_credit(self) -> None:
        service = Service(b"echo", Settings())
        offer(service, session())
        waiting = transit(service)
        service.queue.add(waiting.usage, waiting)
        self.broken(service)
