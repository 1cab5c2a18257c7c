"""A zgossip bridge that cannot be as it is told says so; what it tells of itself; and what it hears of its net."""

from typing import Any

import pytest

from braidmq import Settings
from braidmq.bridges import config
from braidmq.bridges.kinds import Plan, kind
from braidmq.bridges.zgossip.bridge import GossipBridge
from braidmq.errors import ConfigError
from braidmq.lab.processes.net import NetFiles
from tests.support.async_tests import pytest_pyfunc_call, until

__all__ = ["pytest_pyfunc_call"]


@pytest.fixture
def plan(tmp_path):
    net = NetFiles(tmp_path)
    net.add_broker("b1")
    net.add_node("bridge-1")

    def plan(text="", **more):
        path = tmp_path / "bridges.toml"
        path.touch(mode=0o600)
        path.write_text(f"[zgossip]\n{text}\n")
        options = config.read(path)["zgossip"]
        return Plan(options, net.join("bridge-1"), tmp_path, Settings.test(drain_s=0.5), **more)

    return plan


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ('bind = ["tcp://0.0.0.0:5670"]', "tcp://0.0.0.0:5670 can be reached from other machines"),
        ('connect = ["tcp://192.0.2.1:5670"]', "tcp://192.0.2.1:5670 is on another machine"),
        ("ttl = 5", "line 2, zgossip.ttl: there is no such key"),
        ('net = "my net"', r"line 2, zgossip\.net: "),
        ('publish.HTTP = ["x"]', r"line 2, zgossip\.publish\.?"),
        ('bind = ["tcp://127.0.0.1:0"]\nconnect = ["tcp://localhost:x"]', "tcp://localhost:x' is no endpoint"),
        ('connect = ["tcp://]:5"]\ninsecure_connect = true', "cannot connect to tcp://]:5: "),
        ('connect = ["tcp://127.0.0.1:0"]', "'tcp://127.0.0.1:0' is no endpoint"),
        ('bind = ["nonsense"]\ninsecure_bind = true', "'nonsense' is no endpoint: write tcp://HOST:PORT"),
        ('bind = ["tcp://no.such.device:5"]\ninsecure_bind = true', "cannot listen at tcp://no.such.device:5: "),
    ],
)
async def test_wrong_configuration_is_told(plan, options, said):
    with pytest.raises(ConfigError, match=said):
        await kind("zgossip").make(plan(options)).start()


async def test_it_tells_where_it_listens_and_connects(plan):
    text = 'bind = ["tcp://127.0.0.1:0"]\nconnect = ["tcp://127.0.0.1:1"]'
    bridge = kind("zgossip").make(plan(text))
    assert bridge.endpoints() == ()
    await bridge.start()
    [endpoint] = bridge.endpoints()
    assert bridge.told() == f"the zgossip bridge of bridge-1 listens at {endpoint} and connects to tcp://127.0.0.1:1"
    await bridge.drain()


async def test_two_bridges_tell_each_other(plan):
    one = GossipBridge(plan('bind = ["tcp://127.0.0.1:0"]\nnet = "one"\npublish.http = ["https://shop/"]'))
    await one.start()
    [endpoint] = one.endpoints()
    two = GossipBridge(plan(f'bind = ["tcp://127.0.0.1:0"]\nconnect = ["{endpoint}"]\nnet = "two"'))
    await two.start()
    both: list[Any] = [one, two]
    heard = [bridge._core._hearsay.log for bridge in both]
    await until(lambda: heard[0].get(b"braidmq/two/bridge/bridge-1/zgossip"))
    await until(lambda: heard[1].get(b"braidmq/one/bridge/bridge-1/http"))
    assert heard[0].get(b"braidmq/two/bridge/bridge-1/zgossip").value == two.endpoints()[0].encode()
    await one.drain()
    await until(lambda: heard[1].get(b"braidmq/one/bridge/bridge-1/http").value == b"")
    await two.drain()
