import json
import stat
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.public import PrivateKey

from braidmq.errors import ConfigError
from braidmq.trust.authority import Authority
from braidmq.trust.joinfile import JoinFile, load


@pytest.fixture
def node_file(authority):
    authority.add_broker("b1", ["tcp://h:1"])
    return authority.add_node("orders", calls=["pricing"], serves=["orders.*"])


@pytest.fixture
def broker_file(authority):
    authority.add_node("orders")
    return authority.add_broker("b1", ["tcp://h:1"])


@pytest.fixture(params=["node", "broker"])
def path(request):
    return request.getfixturevalue(f"{request.param}_file")


def rewrite(path, **changes):
    fields = json.loads(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**fields, **changes}))


def refusal(path):
    with pytest.raises(ConfigError) as raised:
        load(path)
    text = str(raised.value)
    assert len(text.splitlines()) == 1
    assert str(path) in text
    return text


def test_a_node_gets_its_key_its_certificate_and_the_brokers(node_file, authority):
    join = load(node_file)
    assert (join.net, join.name, join.authority_key) == (authority.net, "orders", authority.public_key)
    assert join.public_key == bytes(PrivateKey(join.secret_key).public_key) == join.certificate.keys[0]
    assert [broker.endpoints for broker in join.brokers] == [("tcp://h:1",)]
    assert join.manifest is None


def test_a_broker_gets_the_manifest(broker_file, authority):
    join = load(broker_file)
    assert join.manifest == authority.manifest()
    assert join.brokers == (join.certificate,)


def test_what_is_written_is_private_and_loads_as_it_was(path, tmp_path):
    join = load(path)
    join.write(tmp_path / "copy")
    assert load(str(tmp_path / "copy")) == join
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600


def test_the_secret_is_not_in_the_repr(path):
    join = load(path)
    assert repr(join.secret_key) not in repr(join)
    assert join.secret_key.hex() not in repr(join)
    assert "secret" not in repr(join)


def test_white_space_around_it_does_no_harm(path):
    join = load(path)
    path.write_bytes(b"\n" + path.read_bytes() + b"\r\n")
    assert load(path) == join


def test_each_flipped_byte_is_refused(path):
    data = path.read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x01
        path.write_bytes(damaged)
        refusal(path)


def test_each_truncation_is_refused(path):
    data = path.read_bytes()
    for length in range(0, len(data), 3):
        path.write_bytes(data[:length])
        refusal(path)


def test_each_missing_or_strange_field_is_refused(path):
    data = path.read_bytes()
    for name in json.loads(data):
        for strange in (None, 0, -1, "", "x", "\n", [], {}, ["x"], "AAAA"):
            if json.loads(data)[name] == strange:
                continue
            path.write_bytes(data)
            rewrite(path, **{name: strange})
            refusal(path)
        fields = json.loads(data)
        del fields[name]
        path.write_text(json.dumps(fields))
        refusal(path)
    path.write_bytes(data)
    rewrite(path, surplus=1)
    refusal(path)


def test_damage_to_the_bits_of_the_secret_that_its_public_key_does_not_show_is_refused(path):
    secret = bytearray(load(path).secret_key)
    secret[0] ^= 1
    assert bytes(PrivateKey(bytes(secret)).public_key) == load(path).public_key
    rewrite(path, secret_key=bytes(secret))
    assert "damaged" in refusal(path)


def test_a_file_that_others_can_read_is_refused(path):
    path.chmod(0o640)
    assert f"chmod 600 {path}" in refusal(path)


def test_missing_empty_and_foreign_files_are_told_apart(path, tmp_path):
    assert "does not exist" in refusal(tmp_path / "missing")
    assert "directory" in refusal(tmp_path)
    for content, reason in (
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xff\xfe", "not JSON"),
        (b"hello", "not JSON"),
        (b"{}", "not a join file"),
        (b"[]", "not a join file"),
        (b"[" * 100_000, "not a join file"),
        (b'{"x":' * 100_000, "not a join file"),
        (b'{"braidmq_join_file":1}', "damaged"),
        (b'{"braidmq_join_file":0}', "damaged"),
        (b'{"braidmq_join_file":2,"new":1}', "newer braidmq"),
    ):
        path.write_bytes(content)
        assert reason in refusal(path)


def test_a_secret_key_of_another_member_is_refused(node_file, authority):
    other = json.loads(authority.add_node("other").read_bytes())
    rewrite(node_file, secret_key=other["secret_key"])
    assert "does not belong" in refusal(node_file)


def test_a_signature_of_another_authority_is_refused(node_file, tmp_path):
    other = Authority.create(tmp_path / "other")
    other.add_broker("b1", ["tcp://h:1"])
    strange = json.loads(other.add_node("orders").read_bytes())
    data = node_file.read_bytes()
    for name in ("authority_key", "certificate", "brokers"):
        node_file.write_bytes(data)
        rewrite(node_file, **{name: strange[name]})
        assert "signature" in refusal(node_file)


def test_a_node_among_the_brokers_is_refused(node_file):
    fields = json.loads(node_file.read_bytes())
    rewrite(node_file, brokers=[*fields["brokers"], fields["certificate"]])
    assert "names a node" in refusal(node_file)


def test_parts_that_do_not_belong_together_make_no_join_file(node_file, broker_file_of_other):
    node, broker = load(node_file), load(broker_file_of_other)
    wrongs: list[dict[str, Any]] = [
        {"secret_key": broker.secret_key},
        {"secret_key": b"short"},
        {"manifest": broker.manifest},
        {"brokers": (node.certificate,)},
        {"brokers": node.brokers * 2},
    ]
    for wrong in wrongs:
        right: dict[str, Any] = {
            "authority_key": node.authority_key,
            "manifest": None,
            "secret_key": node.secret_key,
            "certificate": node.certificate,
            "brokers": node.brokers,
        }
        with pytest.raises(ConfigError):
            JoinFile(**(right | wrong))


@pytest.fixture
def broker_file_of_other(tmp_path):
    return Authority.create(tmp_path / "other").add_broker("b1", ["tcp://h:1"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just("AAAA"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
fields = st.fixed_dictionaries(
    {"braidmq_join_file": st.just(1) | json_values},
    optional=dict.fromkeys(
        ("net", "name", "role", "secret_key", "authority_key", "certificate", "brokers", "manifest", "checksum"),
        json_values,
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(odd=fields, start=st.sampled_from([{}, None]), raw=st.none() | st.binary())
def test_any_content_raises_only_config_error(node_file, original, odd, start, raw):
    valid = json.loads(original) if start is None else start
    content = raw if raw is not None else json.dumps({**valid, **odd}).encode()
    if content.strip() == original:
        return
    node_file.write_bytes(content)
    refused = refusal(node_file) if content != original else None
    assert refused


@pytest.fixture
def original(node_file):
    return node_file.read_bytes()
