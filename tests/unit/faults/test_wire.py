import socket

from faults.wire import Carrier, Rule

DEVICES = {"nodes": 3, "b1": 4, "b2": 5}


def fates(*rules):
    carrier = Carrier(DEVICES)
    carrier.rule(rules)
    names = {fd: name for name, fd in DEVICES.items()}
    return {(names[source], names[target]): rule for (source, target), rule in carrier._fates.items() if rule}


def test_without_rules_everything_gets_through():
    assert fates() == {}


def test_a_rule_without_names_is_for_all():
    assert len(fates(Rule(loss=0.1))) == len(DEVICES) ** 2


def test_one_direction_can_be_cut():
    cut = Rule(target="b1", loss=1.0)
    assert fates(cut) == {("nodes", "b1"): cut, ("b2", "b1"): cut, ("b1", "b1"): cut}


def test_the_first_rule_that_fits_counts():
    cut, slow = Rule("nodes", "b1", loss=1.0), Rule(delay_s=0.2)
    found = fates(cut, slow)
    assert found["nodes", "b1"] == cut
    assert found["b1", "nodes"] == slow


def test_packets_that_are_too_long_are_lost():
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    device, target = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far, device, target:
        carrier = Carrier({"nodes": far.fileno(), "b1": device.fileno()})
        carrier.rule([Rule(packet_bytes_max=1_400)])
        far.setblocking(False)
        for size in (1_401, 1_400, 1_500, 100):
            packet = bytearray(size)
            packet[0], packet[19] = 0x45, 2  # IPv4, to b1
            near.send(packet)
        carrier._take(far.fileno())
        assert [len(target.recv(2_000)) for _ in range(2)] == [1_400, 100]
