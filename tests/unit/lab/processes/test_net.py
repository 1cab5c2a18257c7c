import random

from braidmq.lab.processes import net as nets
from braidmq.lab.processes.net import NetFiles


def test_brokers_that_do_not_run_yet_have_different_ports(tmp_path, monkeypatch):
    """There are as many ports as brokers, so that any port would be drawn again before long."""
    ports = range(20_000, 20_005)
    monkeypatch.setattr(nets, "free_ports", lambda count: random.sample(ports, count))
    net = NetFiles(tmp_path)
    endpoints = {net.add_broker(f"b{number}") for number in range(len(ports))}
    assert endpoints == {f"tcp://127.0.0.1:{port}" for port in ports}
