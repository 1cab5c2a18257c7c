"""A test suite for a worker: a whole net in this process, with real brokers, keys and sockets.

Needs:    pip install pytest          (for the last test also pytest-asyncio or anyio)
Run it:   pytest test_pricing.py

The fixture `net` comes with BraidMQ: a running `braidmq.testing.TestNet` with two brokers, new for each test.
"""

import pytest
from pricing import services

from braidmq import ServiceError
from braidmq.blocking import Node
from braidmq.testing import TestNet


@pytest.fixture
def shop(net: TestNet) -> Node:
    """A caller, and a worker that is ready. Both end with the net."""
    worker, shop = net.blocking_node("orders", services=services), net.blocking_node("shop", call=["pricing"])
    worker.start()
    shop.start()
    net.wait_served("pricing")
    return shop


def test_a_price_is_told(shop: Node) -> None:
    assert shop.request("pricing", b"14").payload == b"42"


@pytest.mark.parametrize("quantity", [b"", b"0", b"-1", b"many"])
def test_a_quantity_that_is_none_is_refused(shop: Node, quantity: bytes) -> None:
    with pytest.raises(ServiceError) as caught:
        shop.request("pricing", quantity)
    assert caught.value.code == "INVALID_ARGUMENT"


@pytest.mark.braidmq(brokers=3)
def test_prices_go_on_while_brokers_die(net: TestNet, shop: Node) -> None:
    for broker in ("b1", "b2"):
        net.brokers[broker].kill()
        assert shop.request("pricing", b"14").payload == b"42"


@pytest.mark.anyio  # or pytest.mark.asyncio
async def test_async_code_has_async_nodes(net: TestNet) -> None:
    async with net.node("orders", services=services), net.node("shop") as shop:
        await net.served("pricing")
        assert (await shop.request("pricing", b"14")).payload == b"42"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
