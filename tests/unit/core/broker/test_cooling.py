"""Workers that refuse, and get nothing for a while."""

import pytest

from braidmq.core.broker.conduct import BUSY_MIN
from braidmq.core.broker.cooling import COOL_S, OUTLIER_S, OUTLIER_S_MAX, Cooling
from braidmq.core.broker.key_usage import KeyUsage
from braidmq.core.broker.transit import Offer, Service, Session
from braidmq.core.liveness import Silence
from braidmq.members import Member, Role
from braidmq.settings import Settings

NOW = 1_000.0


def service_of(*names: str) -> tuple[Service, list[Offer]]:
    service, offers = Service(b"echo", Settings()), []
    for name in names:
        session = Session(name.encode(), KeyUsage(name), Member(name, Role.NODE), Silence(1.5, 3.0), 1.0, NOW)
        offer = session.offers[b"echo"] = service.offers[session] = Offer(service, session)
        offer.credit = 1
        offer.conduct.good = 100.0 if name == "good" else 0.0
        service.granting += 1
        offers.append(offer)
    return service, offers


def test_time_doubles_up_to_the_longest() -> None:
    cooling = Cooling()
    _, (bad, _) = service_of("bad", "good")
    times, now = [], NOW
    for _ in range(12):
        assert cooling.refuse(bad, busy=False, now=now)
        times.append(bad.cool_until - now)
        assert cooling.take_due(bad.cool_until - 0.001) == []
        assert cooling.take_due(bad.cool_until) == [bad]
        now = bad.cool_until
    assert times[:5] == pytest.approx([COOL_S, COOL_S, OUTLIER_S, 2 * OUTLIER_S, 4 * OUTLIER_S])
    assert times[-1] == OUTLIER_S_MAX


def test_burst_of_refusals_counts_as_one() -> None:
    cooling = Cooling()
    _, (bad, _) = service_of("bad", "good")
    assert all(cooling.refuse(bad, busy=False, now=NOW) for _ in range(100))
    assert bad.cool_until == NOW + COOL_S


def test_last_one_is_never_out_of_the_choice() -> None:
    cooling = Cooling()
    service, offers = service_of("a", "b", "c")
    assert [cooling.refuse(offer, busy=False, now=NOW) for offer in offers] == [True, True, False]
    cooling.validate_state(set(service.cooling))
    assert not offers[2].cools


def test_want_of_a_place_counts_only_where_it_lasts() -> None:
    cooling = Cooling()
    _, (full, _) = service_of("full", "good")
    assert [cooling.refuse(full, busy=True, now=NOW) for _ in range(BUSY_MIN)] == [False] * (BUSY_MIN - 1) + [True]
    assert full.cool_until == NOW + OUTLIER_S


def test_all_sessions_of_a_key_cool_down_together_and_new_ones_too() -> None:
    cooling = Cooling()
    service, offers = service_of("bad", "bad", "bad", "good")
    for offer in offers[:3]:
        cooling.refuse(offer, busy=False, now=NOW)
    assert {offer.cool_until for offer in offers[:3]} == {NOW + OUTLIER_S}
    session = Session(b"bad", KeyUsage("bad"), Member("bad", Role.NODE), Silence(1.5, 3.0), 1.0, NOW)
    new = session.offers[b"echo"] = service.offers[session] = Offer(service, session)
    new.credit = 1
    service.granting += 1
    cooling.resume(new, NOW + 0.1)
    assert new.cool_until == NOW + OUTLIER_S
    cooling.end(new)
    cooling.resume(new, NOW + OUTLIER_S)
    assert not new.cools


def test_worker_that_is_gone_or_grants_nothing_is_left_alone() -> None:
    cooling = Cooling()
    service, (gone, _, _) = service_of("gone", "b", "c")
    gone.credit = 0
    assert not cooling.refuse(gone, busy=False, now=NOW)
    gone.credit = 1
    del service.offers[gone.session]
    assert not cooling.refuse(gone, busy=False, now=NOW)


def test_end_is_the_end() -> None:
    cooling = Cooling()
    service, (bad, _) = service_of("bad", "good")
    cooling.refuse(bad, busy=False, now=NOW)
    cooling.end(bad)
    cooling.end(bad)
    assert not service.cooling
    assert cooling.take_due(NOW + 100.0) == []
