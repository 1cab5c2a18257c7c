"""What one node may offer of its own and of what it shares."""

import pytest

from braidmq.errors import ConfigError
from braidmq.members import Member, Role
from braidmq.services import Offer, Services

MEMBER = Member("worker", Role.NODE, serves=("stock.*",))


def handle(request):
    return b""


def declared(*names):
    services = Services()
    for name in names:
        services.service(name)(handle)
    return services


def test_offer_is_what_is_shared_and_what_is_its_own():
    shared = declared("stock.price")
    offer = Offer(MEMBER, shared)
    offer.own.service("stock.count", concurrency=3)(handle)
    assert {name: each.concurrency for name, each in offer.services().items()} == {
        b"stock.price": 64,
        b"stock.count": 3,
    }
    shared.service("stock.late")(handle)
    assert b"stock.late" in offer.services()


@pytest.mark.parametrize("own", [True, False])
def test_node_may_offer_only_what_its_certificate_allows(own):
    offer = Offer(MEMBER, Services() if own else declared("other"))
    if own:
        offer.own.service("other")(handle)
    with pytest.raises(ConfigError, match="worker may not serve other: make a join file with --serve other"):
        offer.services()
    with pytest.raises(ConfigError):
        offer.check("other")


def test_service_has_one_handler():
    offer = Offer(MEMBER, declared("stock.price"))
    with pytest.raises(ConfigError, match=r"stock\.price has a handler already"):
        offer.check("stock.price")
    offer.check("stock.count")
    offer.own.service("stock.price")(handle)
    with pytest.raises(ConfigError, match=r"stock\.price has a handler already"):
        offer.services()
