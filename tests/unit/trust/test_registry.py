import pytest

from braidmq.members import Directory
from braidmq.trust.registry import Registry


@pytest.fixture
def registry(authority):
    authority.add_broker("b1", ["tcp://h:1"])
    authority.add_node("orders", calls=["pricing"])
    authority.add_broker("b2", ["tcp://h:2"])
    return Registry(authority.manifest())


def test_a_member_is_found_by_its_key_and_name(registry, authority):
    directory: Directory = registry
    for certificate in authority.members():
        assert directory.member(certificate.keys[0].hex()) == certificate.member
        assert registry.certificate(certificate.name) == certificate


def test_strangers_are_not_found(registry):
    assert registry.member("00" * 32) is None
    assert registry.member("") is None
    assert registry.certificate("stranger") is None


def test_it_knows_its_version_and_the_brokers(registry):
    assert registry.version == 3
    assert [(each.name, each.endpoints) for each in registry.brokers] == [
        ("b1", ("tcp://h:1",)),
        ("b2", ("tcp://h:2",)),
    ]
    assert all(each.blob for each in registry.brokers)
