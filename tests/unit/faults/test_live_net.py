import random

from faults import live_net
from faults.live_net import LiveNet


def test_brokers_that_do_not_run_yet_have_different_ports(tmp_path, monkeypatch):
    """There are as many ports as brokers, so that any port would be drawn again before long."""
    ports = range(20_000, 20_005)
    monkeypatch.setattr(live_net, "free_ports", lambda count: random.sample(ports, count))
    with LiveNet(tmp_path) as net:
        endpoints = {net.add_broker(f"b{number}") for number in range(len(ports))}
    assert endpoints == {f"tcp://127.0.0.1:{port}" for port in ports}
