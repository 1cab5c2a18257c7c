import json
import stat
import subprocess
import sys
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.public import PrivateKey

from braidmq.errors import ConfigError
from braidmq.members import Role
from braidmq.trust import enrolment, jointext
from braidmq.trust.authority import Authority
from braidmq.trust.certificate import Certificate
from braidmq.trust.codes import Netcode
from braidmq.trust.enrolment import Enrolment
from braidmq.trust.joinfile import JoinFile, admitted, load, load_any, load_text
from braidmq.trust.pending import Pending
from tests.support import tokens


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
    assert join.roster == authority.manifest().roster


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


@pytest.mark.nightly
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
        (b'{"braidmq_join_file":3,"new":1}', "newer braidmq"),
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
    for name in ("authority_key", "certificate", "roster"):
        node_file.write_bytes(data)
        rewrite(node_file, **{name: strange[name]})
        assert "signature" in refusal(node_file)


def test_a_node_among_the_brokers_is_refused(node_file):
    fields = json.loads(node_file.read_bytes())
    rewrite(node_file, roster=None, brokers=[fields["certificate"]])
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


def old_format(join: JoinFile) -> bytes:
    """Return a join file as braidmq wrote it before format 2."""
    return jointext.encode(
        jointext.OldText(
            braidmq_join_file=1,
            net=join.net,
            name=join.name,
            role=join.certificate.role,
            secret_key=join.secret_key,
            authority_key=join.authority_key,
            certificate=join.certificate.blob,
            brokers=tuple(each.blob for each in join.brokers),
            manifest=None if join.manifest is None else join.manifest.blob,
            checksum=b"",
        )
    )


def test_a_file_of_format_1_is_read_and_becomes_one_of_format_2(path):
    join = load(path)
    path.write_bytes(old_format(join))
    old = load(path)
    assert (old.secret_key, old.certificate, old.brokers) == (join.secret_key, join.certificate, join.brokers)
    assert (old.manifest, old.roster) == (join.manifest, None)
    old.write(path)
    assert json.loads(path.read_bytes())["braidmq_join_file"] == 2
    assert load(path) == old


def test_damage_to_a_file_of_format_1_is_refused(path):
    data = old_format(load(path))
    for position in range(0, len(data), 5):
        damaged = bytearray(data)
        damaged[position] ^= 0x01
        path.write_bytes(damaged)
        refusal(path)
    path.write_bytes(data)
    rewrite(path, name="other")
    refusal(path)


def test_a_broker_may_have_a_list_of_brokers_in_the_place_of_a_manifest(broker_file, authority, tmp_path):
    join = load(broker_file)
    assert join.manifest is not None
    bare = JoinFile(
        secret_key=join.secret_key,
        certificate=join.certificate,
        authority_key=join.authority_key,
        brokers=join.brokers,
        roster=join.manifest.roster,
    )
    bare.write(tmp_path / "bare")
    assert load(tmp_path / "bare") == bare


def test_what_is_signed_and_what_is_listed_agree(node_file, broker_file_of_other):
    node, broker = load(node_file), load(broker_file_of_other)
    with pytest.raises(ConfigError, match="signed one"):
        replace(node, brokers=())
    with pytest.raises(ConfigError, match="beside its manifest"):
        replace(broker, roster=broker.manifest.roster)
    with pytest.raises(ConfigError, match="a node must not have a manifest"):
        replace(node, roster=None, brokers=broker.brokers, manifest=broker.manifest)


# -- while keys change


def test_while_it_rotates_a_file_has_both_keys(node_file, authority):
    former = load(node_file)
    authority.rotate("orders")
    join = load(node_file)
    assert join.old_secret_key == former.secret_key
    assert join.certificate.keys == (former.public_key, join.public_key)
    for secret in (join.secret_key, former.secret_key):
        assert repr(secret) not in repr(join)
    with pytest.raises(ConfigError, match="old secret key"):
        replace(join, old_secret_key=b"x" * 32)
    with pytest.raises(ConfigError, match="old secret key"):
        replace(join, secret_key=former.secret_key, old_secret_key=join.secret_key)


def test_the_key_that_was_asked_for_takes_over_with_its_certificate(node_file, authority):
    new = PrivateKey.generate()
    asking = replace(load(node_file), next_secret_key=bytes(new))
    asking.write(node_file)
    assert load(node_file) == asking
    assert asking.next_public_key == bytes(new.public_key)
    authority.change("orders", calls=["*"])
    still = asking.renewed(authority.members()[1])
    assert (still.secret_key, still.next_secret_key) == (asking.secret_key, bytes(new))
    authority.rotate("orders", bytes(new.public_key))
    both = load(node_file)
    assert (both.secret_key, both.old_secret_key, both.next_secret_key) == (bytes(new), asking.secret_key, None)
    authority.finish("orders")
    assert (load(node_file).secret_key, load(node_file).old_secret_key) == (bytes(new), None)
    with pytest.raises(ConfigError, match="does not belong"):
        asking.renewed(both.certificate).renewed(replace_keys(both.certificate, (b"k" * 32,)))
    with pytest.raises(ConfigError, match="certified already"):
        replace(both, next_secret_key=bytes(new))


def replace_keys(found: Certificate, keys: tuple[bytes, ...]) -> Certificate:
    return msgspec.structs.replace(found, keys=keys)


# -- who waits for a certificate


def waiting_for(authority, name="late") -> Pending:
    code = Netcode.of(authority.net, authority.public_key, authority.manifest().brokers)
    return Pending(secret_key=bytes(PrivateKey.generate()), name=name, netcode=code)


def test_who_waits_has_a_file_without_a_certificate(node_file, authority, tmp_path):
    waiting, path = waiting_for(authority), tmp_path / "late.braid"
    waiting.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_any(path) == waiting
    assert "secret" not in repr(waiting)
    assert "late has asked for one and waits" in refusal(path)
    assert (waiting.request.name, waiting.request.key) == ("late", waiting.public_key)
    authority.admit("late", Role.NODE, waiting.request.key)
    manifest = authority.manifest()
    member = next(each for each in manifest.certificates if each.name == "late")
    joined = admitted(waiting, member, roster=manifest.roster)
    joined.write(path)
    assert load(path) == joined
    assert joined.brokers == manifest.brokers
    assert admitted(waiting, member).roster is None
    with pytest.raises(ConfigError, match="'orders', not for 'late'"):
        admitted(waiting, load(node_file).certificate)


def test_damage_to_the_file_of_who_waits_is_refused(node_file, authority):
    data = waiting_for(authority).encode()
    for position in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[position] ^= 0x01
        node_file.write_bytes(damaged)
        refusal(node_file)
    for changes in ({"netcode": None}, {"netcode": "x"}, {"role": "node"}, {"name": "a b"}, {"secret_key": ""}):
        node_file.write_bytes(data)
        rewrite(node_file, **changes)
        refusal(node_file)


@pytest.mark.parametrize("wrong", [{"secret_key": b"x"}, {"name": "a b"}], ids=str)
def test_parts_of_who_waits_are_checked(node_file, authority, wrong):
    with pytest.raises(ConfigError):
        replace(waiting_for(authority), **wrong)


def test_an_enrolment_stands_for_a_certificate(tmp_path):
    join = JoinFile(
        secret_key=bytes((1,)) * 32,
        certificate=enrolment.verify(tokens.enrol(1), tokens.INVITATION),
        authority_key=tokens.AUTHORITY,
        brokers=(),
    )
    path = tmp_path / "replica-1.braid"
    join.write(path)
    assert load(path) == join
    assert isinstance(load(path).certificate, Enrolment)
    for changes in ({"invitation": None}, {"certificate": tokens.INVITATION.blob}):
        join.write(path)
        rewrite(path, **changes)
        refusal(path)


# -- where it comes from


def test_a_file_may_come_as_its_text(path):
    join = load(path)
    text = path.read_text()
    assert load(text) == load(f" {text}\n") == load_text(text) == load(join) == join


def test_a_damaged_text_is_never_told(path):
    text = path.read_text()
    secret = json.loads(text)["secret_key"]
    for damaged in (text[:-9], text[3:], "'" + text, text.replace(secret, secret[::-1])):
        for loading in (load, load_text):
            with pytest.raises(ConfigError) as raised:
                loading(damaged)
            assert secret not in str(raised.value)
            assert secret[::-1] not in str(raised.value)
            assert len(str(raised.value)) < 300


def test_a_file_may_come_from_stdin(path):
    script = "from braidmq.trust.joinfile import load; print(load('-').name)"
    with path.open("rb") as file:
        done = subprocess.run([sys.executable, "-c", script], stdin=file, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{load(path).name}\n"), done.stderr
    done = subprocess.run([sys.executable, "-c", script], input="{}", capture_output=True, text=True, check=False)
    assert "the join file on stdin is not a join file" in done.stderr


def test_the_head_tells_whose_it_is_and_what_it_says(path, authority):
    join = load(path)
    head = jointext.head(path.read_bytes()[: jointext.HEAD_BYTES_MAX])
    assert head == (join.net, join.name, join.contents)
    assert jointext.head(old_format(join)) is None
    longest = waiting_for(authority, "n" * 63).encode()
    assert jointext.head(longest[: jointext.HEAD_BYTES_MAX]) is not None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just("AAAA"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
fields = st.fixed_dictionaries(
    {"braidmq_join_file": st.just(1) | st.just(2) | json_values},
    optional=dict.fromkeys(
        (
            *("net", "name", "role", "contents", "secret_key", "old_secret_key", "next_secret_key", "authority_key"),
            *("certificate", "invitation", "roster", "brokers", "manifest", "netcode", "checksum"),
        ),
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
