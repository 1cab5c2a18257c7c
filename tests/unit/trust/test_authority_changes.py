"""Changes in the authority's directory: which files come of them, also of those that do not come to their end."""

import contextlib
import errno
import fcntl
from dataclasses import replace
from pathlib import Path

import pytest
from nacl.public import PrivateKey

from braidmq.errors import ConfigError
from braidmq.members import Role
from braidmq.trust import authority_files, joinfile, jointext, manifest, private_file
from braidmq.trust.authority import Authority
from braidmq.trust.change import OPERATOR
from braidmq.trust.draft import CLOCK_S_MIN, OVERLAP_S_MAX
from braidmq.trust.joinfile import load
from tests.support.nights import cases

FAR_S = 4_000_000_000


class Killed(BaseException):
    """Ends a change as a power loss does, but for unfinished files, which other tests leave behind."""


@pytest.fixture
def net(authority):
    """Return the authority of a net with the brokers b1 and b2 and the nodes n1 and n2."""
    authority.add_brokers({"b1": ["tcp://h:1"], "b2": ["tcp://h:2"]})
    authority.add_node("n1", calls=["x"])
    authority.add_node("n2")
    return authority


def path(authority, name):
    return authority.directory / f"{name}.braid"


def member(authority, name):
    return next((each for each in authority.members() if each.name == name), None)


def snapshot(directory):
    return {each.name: (each.read_bytes(), each.stat().st_ino) for each in directory.iterdir()}


def assert_up_to_date(authority, *elsewhere):
    newest = authority.manifest()
    for each in newest.certificates:
        if each.name in elsewhere:
            continue
        join = load(path(authority, each.name))
        assert join.certificate == each
        assert join.brokers == newest.brokers
        assert join.manifest == (newest if each.role is Role.BROKER else None)
        assert join.roster == (newest.roster if each.role is Role.NODE else None)
        assert join.public_key == each.keys[-1]


def test_a_new_net_may_have_an_operator(tmp_path):
    authority = Authority.create(tmp_path / "net", operator=True)
    (operator,) = authority.members()
    rights = (operator.observe, operator.publish, operator.operate)
    assert (operator.name, operator.role, rights) == (OPERATOR, Role.NODE, (True, True, True))
    assert (operator.calls, operator.serves, authority.manifest().version) == ((), (), 1)
    assert_up_to_date(authority)


@pytest.mark.parametrize("write", [1, 2, 3])
def test_an_init_with_an_operator_that_dies_at_any_write_can_be_repeated(tmp_path, monkeypatch, write):
    with pytest.raises(Killed):
        killed_at(write, monkeypatch, lambda: Authority.create(tmp_path / "net", operator=True))
    authority = Authority.create(tmp_path / "net", operator=True)
    assert_up_to_date(authority)


def test_an_init_overwrites_no_operator_of_another_net(tmp_path):
    other = Authority.create(tmp_path / "other", operator=True)
    (tmp_path / "net").mkdir(mode=0o700)
    path(other, OPERATOR).rename(tmp_path / "net" / "operator.braid")
    with pytest.raises(ConfigError, match="move it away"):
        Authority.create(tmp_path / "net", operator=True)
    assert load(tmp_path / "net" / "operator.braid").net == other.net


def test_a_registry_of_one_member_whose_key_was_taken_away_is_not_overwritten(authority):
    authority.add_node("n1")
    (authority.directory / "authority.key").unlink()
    with pytest.raises(ConfigError, match="without its authority"):
        Authority.create(authority.directory, operator=True)


def test_rights_are_changed_and_the_key_stays(net):
    before = load(path(net, "n1"))
    change = net.change("n1", serves=["y"], publish=True)
    assert (change.after.version, change.files) == (change.before.version + 1, ())
    after = load(path(net, "n1"))
    assert (after.secret_key, after.certificate.serves) == (before.secret_key, ("y",))
    assert_up_to_date(net)


def test_a_change_of_one_node_leaves_the_files_of_other_nodes_alone(net):
    before = snapshot(net.directory)
    net.change("n1", serves=["y"])
    after = snapshot(net.directory)
    assert {name for name in before if after[name] != before[name]} == {
        "b1.braid", "b2.braid", "n1.braid", "manifest.json",
    }  # fmt: skip


def test_what_is_as_it_should_be_is_neither_written_nor_read_whole(net, monkeypatch):
    read = []
    monkeypatch.setattr(joinfile, "load", lambda source: read.append(source) or load(source))
    net.change("n1", serves=["y"])
    assert sorted(each.name for each in read) == ["b1.braid", "b2.braid", "n1.braid"]
    before = snapshot(net.directory)
    assert net.change("n1", serves=["y"]).after.version == net.manifest().version
    assert snapshot(net.directory) == before


def test_a_member_is_renamed_with_its_file(net):
    secret = load(path(net, "n1")).secret_key
    change = net.rename("n1", "m1")
    assert change.files == (path(net, "m1"),)
    assert not path(net, "n1").exists()
    assert load(path(net, "m1")).secret_key == secret
    assert (member(net, "n1"), member(net, "m1").calls) == (None, ("x",))
    assert_up_to_date(net)
    net.rename("b1", "c1")
    assert_up_to_date(net)
    path(net, "c1").unlink()
    assert net.rename("c1", "d1").files == ()
    assert_up_to_date(net, "d1")


def test_a_rename_overwrites_nothing_of_value(net):
    path(net, "m1").write_bytes(b"notes")
    before = snapshot(net.directory)
    with pytest.raises(ConfigError, match="move it away"):
        net.rename("n1", "m1")
    assert snapshot(net.directory) == before


def test_names_may_be_used_again(net):
    old = load(path(net, "n1"))
    net.remove(["n1"])
    assert path(net, "n1").exists()
    net.add_node("n1", serves=["z"])
    assert load(path(net, "n1")).public_key != old.public_key
    net.revoke(["n1", "n2"])
    net.add_node("n1")
    assert_up_to_date(net)


def test_of_several_names_none_goes_if_one_is_not_there(net):
    before = snapshot(net.directory)
    for leave in (net.remove, net.revoke):
        with pytest.raises(ConfigError, match="'n9'"):
            leave(["n1", "n9"])
    assert snapshot(net.directory) == before


def test_all_brokers_may_go(net):
    net.remove(["b1", "b2"])
    assert net.manifest().roster.brokers == ()
    assert load(path(net, "n1")).brokers == ()
    net.add_broker("b3", ["tcp://h:1"])
    assert load(path(net, "n1")).brokers == (member(net, "b3"),)


def test_a_key_is_rotated_in_the_file_that_lies_there(net):
    for name in ("b1", "n1"):
        old = load(path(net, name)).secret_key
        change = net.rotate(name, overlap_s=60)
        assert change.files == (path(net, name),)
        join = load(path(net, name))
        assert (join.old_secret_key, join.certificate.old_key_until > 0) == (old, True)
        assert_up_to_date(net)
        net.finish(name)
        assert (load(path(net, name)).secret_key, load(path(net, name)).old_secret_key) == (join.secret_key, None)
        assert_up_to_date(net)


def test_a_key_that_lies_elsewhere_is_rotated_by_its_public_half(net):
    path(net, "n1").unlink()
    with pytest.raises(ConfigError, match="--request CODE"):
        net.rotate("n1")
    new = bytes(PrivateKey.generate().public_key)
    assert net.rotate("n1", new).files == ()
    assert member(net, "n1").keys[-1] == new


@pytest.mark.parametrize("overlap_s", [0, -1, OVERLAP_S_MAX + 1])
def test_an_overlap_has_bounds(net, overlap_s):
    with pytest.raises(ConfigError, match="two keys may hold"):
        net.rotate("n1", overlap_s=overlap_s)


def test_who_has_made_a_key_elsewhere_is_admitted_without_a_file(net):
    key = bytes(PrivateKey.generate().public_key)
    assert net.admit("n3", Role.NODE, key, calls=["x"], not_after=FAR_S).files == ()
    assert (member(net, "n3").keys, member(net, "n3").not_after) == ((key,), FAR_S)
    assert not path(net, "n3").exists()
    net.admit("b3", Role.BROKER, bytes(PrivateKey.generate().public_key), endpoints=["tcp://h:3"])
    assert_up_to_date(net, "n3", "b3")


def test_all_that_end_are_renewed(net):
    net.change("n1", not_after=FAR_S)
    net.change("b1", not_after=FAR_S + 20)
    net.renew(None, FAR_S + 10)
    assert [each.not_after for each in net.members()] == [FAR_S + 20, 0, FAR_S + 10, 0]
    assert net.renew(None, FAR_S + 5).after.version == net.manifest().version
    with pytest.raises(ConfigError, match="ends later"):
        net.renew(["n1"], FAR_S)
    net.add_node("n3", not_after=FAR_S)
    net.add_broker("b3", ["tcp://h:3"], not_after=FAR_S)
    assert_up_to_date(net)


def test_a_clock_that_is_far_off_lets_nothing_end(net):
    wrong = Authority(net.directory, net.net, net._seed, clock=lambda: CLOCK_S_MIN - 1.0)
    with pytest.raises(ConfigError, match="clock"):
        wrong.rotate("n1")
    assert member(net, "n1").keys == (load(path(net, "n1")).public_key,)


def old_format(join):
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


def test_a_net_of_before_is_brought_up_to_date_by_the_next_change(net):
    first = net.manifest()
    before = manifest.issue(net.net, first.version, first.certificates, net._seed)
    net._files.write_manifest(before)
    for each in first.certificates:
        join = load(path(net, each.name))
        told = {"manifest": before, "brokers": before.brokers} if join.manifest else {"roster": None}
        path(net, each.name).write_bytes(old_format(replace(join, **told)))
    kept = snapshot(net.directory)
    with pytest.raises(ConfigError, match="already"):
        net.add_node("n1")
    assert snapshot(net.directory) == kept
    net.add_node("n3")
    assert_up_to_date(net)


def killed_at(write, monkeypatch, change):
    """Make a change that is killed before its `write`th file takes the place of the old one."""
    really, calls = Path.replace, []

    def dying(*arguments):
        calls.append(arguments)
        if len(calls) == write:
            raise Killed
        return really(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dying)
        change()


@pytest.mark.parametrize("write", [1, 2, 3, 4])
@cases(
    "change",
    [
        lambda net: net.change("n1", serves=["y"]),
        lambda net: net.change("b1", endpoints=["tcp://h:9"]),
        lambda net: net.rename("n1", "m1"),
        lambda net: net.rename("b1", "c1"),
        lambda net: net.rotate("n1"),
        lambda net: net.rotate("b1"),
        lambda net: net.revoke(["b1"]),
        lambda net: net.add_broker("b3", ["tcp://h:3"]),
    ],
    ids=["set-node", "set-broker", "rename-node", "rename-broker", "rotate-node", "rotate-broker", "revoke", "add"],
    one_in=3,
)
def test_a_change_that_dies_at_any_write_is_made_or_not_and_no_key_is_lost(net, monkeypatch, change, write):
    before = net.manifest()
    with contextlib.suppress(Killed):
        killed_at(write, monkeypatch, lambda: change(net))
    after = net.manifest()
    assert after.version - before.version in (0, 1)
    for each in after.certificates:  # whoever is registered can still prove it, with what lies there
        files = [load(file) for file in net.directory.glob("*.braid")]
        held = {key for file in files for key in (file.public_key, file.old_public_key)}
        assert each.keys[-1] in held
    net.change("n2", calls=[f"again-{write}"])
    assert_up_to_date(net)
    assert net.stale == ()


@pytest.mark.parametrize("name", ["n1", "b1"])
def test_a_rotation_that_dies_before_it_is_in_force_can_be_repeated(net, monkeypatch, name):
    old = load(path(net, name)).secret_key
    with pytest.raises(Killed):
        killed_at(2, monkeypatch, lambda: net.rotate(name))
    assert member(net, name).keys[-1] != load(path(net, name)).public_key
    net.rotate(name)
    assert_up_to_date(net)
    assert load(path(net, name)).old_secret_key == old


def test_a_file_with_two_keys_that_are_not_the_members_is_not_rotated(net):
    foreign = net.rotate("n1").files[0].read_bytes()
    net.remove(["n1"])
    net.add_node("n1")
    path(net, "n1").write_bytes(foreign)
    with pytest.raises(ConfigError, match="--request CODE"):
        net.rotate("n1")


def test_a_directory_that_another_command_holds_is_waited_for_and_given_up(net, monkeypatch):
    monkeypatch.setattr(authority_files, "LOCK_S_MAX", 0.1)
    before = net.manifest()
    with (net.directory / ".lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="another command has held this net") as raised:
            net.add_node("n3")
    assert raised.value.errno == errno.EAGAIN
    assert raised.value.filename == str(net.directory / ".lock")
    assert net.manifest() == before
    net.add_node("n3")


def test_a_registry_that_is_too_large_is_one_clear_line(net):
    file = net.directory / "manifest.json"
    with file.open("r+b") as registry:
        registry.truncate(100_000_000)
    with pytest.raises(ConfigError, match="longer than") as raised:
        Authority.open(net.directory)
    assert str(file) in str(raised.value)


def test_what_another_operator_has_changed_counts(net):
    other = Authority.open(net.directory)
    other.add_node("n3")
    net.change("n1", calls=[])
    assert [each.name for each in other.members()] == ["b1", "b2", "n1", "n2", "n3"]


def test_a_damaged_file_of_one_member_is_told_and_no_obstacle(net):
    data = path(net, "b1").read_bytes()
    path(net, "b1").write_bytes(data[: len(data) // 2])
    net.change("n1", calls=[])
    assert len(net.stale) == 1
    assert "b1.braid is not a join file or is damaged" in net.stale[0]
    assert len(net.stale[0].splitlines()) == 1
    assert private_file.read(path(net, "b1"), 100_000) == data[: len(data) // 2]
