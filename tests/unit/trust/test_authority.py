import json
import os
import stat
import subprocess
import sys

import pytest

from braidmq.errors import ConfigError
from braidmq.members import Role
from braidmq.trust import manifest
from braidmq.trust.authority import Authority
from braidmq.trust.joinfile import load
from tests.support.nights import cases

ADD = """
import sys
from braidmq.trust.authority import Authority
authority = Authority.open(sys.argv[1])
for name in sys.argv[2:]:
    if name.startswith("b"):
        authority.add_broker(name, [f"tcp://{name}:5550"])
    else:
        authority.add_node(name, calls=["*"])
"""

FULL_DISK = """
import resource, sys
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
"""


def run(script, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


def names(authority):
    return {each.name for each in authority.members()}


def snapshot(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def assert_whole(authority):
    """Whatever happened before: the registry is valid and each member's file is whole, private and its own."""
    Authority.open(authority.directory)
    for path in authority.directory.glob("*.braid"):
        assert load(path).name == path.stem


def assert_up_to_date(authority):
    newest = authority.manifest()
    for each in newest.certificates:
        join = load(authority.directory / f"{each.name}.braid")
        assert join.certificate == each
        assert join.brokers == newest.brokers
        assert join.manifest == (newest if each.role is Role.BROKER else None)


def test_a_new_net_has_a_registry_without_members(authority):
    again = Authority.open(str(authority.directory))
    assert (again.net, again.public_key) == (authority.net, authority.public_key)
    assert authority.members() == ()
    assert authority.manifest().version == 0
    assert len(authority.net) == 16


def test_two_nets_differ(authority, tmp_path):
    other = Authority.create(tmp_path / "other")
    assert other.net != authority.net
    assert other.public_key != authority.public_key


def test_every_file_is_private(authority):
    old = os.umask(0)
    try:
        authority.add_broker("b1", ["tcp://h:1"])
        authority.add_node("n1")
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in authority.directory.iterdir()}
    assert modes == dict.fromkeys([".lock", "authority.key", "manifest.json", "b1.braid", "n1.braid"], 0o600)
    assert stat.S_IMODE(authority.directory.stat().st_mode) == 0o700


def test_the_directory_of_a_net_is_not_used_twice(authority):
    before = snapshot(authority.directory)
    with pytest.raises(ConfigError, match="already"):
        Authority.create(authority.directory)
    assert snapshot(authority.directory) == before


def test_a_manifest_whose_key_was_taken_away_is_not_overwritten(authority):
    authority.add_node("n1")
    (authority.directory / "authority.key").unlink()
    before = snapshot(authority.directory)
    with pytest.raises(ConfigError, match="without its authority"):
        Authority.create(authority.directory)
    assert snapshot(authority.directory) == before


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "net"):
        with pytest.raises(ConfigError, match="not a directory"):
            Authority.create(path)


def test_members_get_what_they_were_registered_with(authority):
    authority.add_broker("b1", ["tcp://h:1", "tcp://h:2", "tcp://h:1"])
    path = authority.add_node("n1", calls=["a", "a", "b.*"], serves=["c"], observe=True)
    assert path == authority.directory / "n1.braid"
    broker, node = authority.members()
    assert (broker.role, broker.endpoints) == (Role.BROKER, ("tcp://h:1", "tcp://h:2"))
    assert (node.role, node.calls, node.serves, node.observe) == (Role.NODE, ("a", "b.*"), ("c",), True)
    assert (broker.serial, node.serial, authority.manifest().version) == (1, 2, 2)


def test_each_add_brings_the_other_join_files_up_to_date(authority):
    for name in ("n1", "b1", "n2", "b2"):
        if name.startswith("b"):
            authority.add_broker(name, [f"tcp://{name}:1"])
        else:
            authority.add_node(name)
        assert_up_to_date(authority)
    assert authority.stale == ()


def test_a_new_node_leaves_the_files_of_other_nodes_alone(authority):
    path = authority.add_node("n1")
    before = path.stat()
    authority.add_node("n2")
    assert path.stat().st_ino == before.st_ino


def test_join_files_may_have_been_taken_away(authority):
    authority.add_broker("b1", ["tcp://h:1"]).unlink()
    authority.add_node("n1")
    assert names(authority) == {"b1", "n1"}
    assert not (authority.directory / "b1.braid").exists()
    with pytest.raises(ConfigError, match="already"):
        authority.add_broker("b1", ["tcp://h:2"])


def test_a_name_is_not_registered_twice(authority):
    authority.add_node("n1")
    before = snapshot(authority.directory)
    with pytest.raises(ConfigError, match="already"):
        authority.add_node("n1")
    with pytest.raises(ConfigError, match="already"):
        authority.add_broker("n1", ["tcp://h:1"])
    assert snapshot(authority.directory) == before


def test_an_endpoint_is_not_registered_twice(authority):
    authority.add_broker("b1", ["tcp://h:1"])
    with pytest.raises(ConfigError, match="endpoint of broker 'b1'"):
        authority.add_broker("b2", ["tcp://h:2", "tcp://h:1"])


@pytest.mark.parametrize(
    "add",
    [
        lambda authority: authority.add_node("../n1"),
        lambda authority: authority.add_node(""),
        lambda authority: authority.add_node("n1", calls=["a b"]),
        lambda authority: authority.add_node("n1", serves=["p"] + [f"p{n}" for n in range(64)]),
        lambda authority: authority.add_broker("b1", []),
        lambda authority: authority.add_broker("b1", ["tcp://*:1"]),
    ],
)
def test_what_breaks_the_rules_changes_nothing(authority, add):
    before = snapshot(authority.directory)
    with pytest.raises(ConfigError):
        add(authority)
    assert snapshot(authority.directory) == before


def test_files_that_are_no_join_files_of_this_net_are_kept(authority, tmp_path):
    other = Authority.create(tmp_path / "other")
    foreign = authority.directory / "n1.braid"
    other.add_node("n1").rename(foreign)
    (authority.directory / "n2.braid").write_bytes(b"notes")
    before = snapshot(authority.directory)
    for name in ("n1", "n2"):
        with pytest.raises(ConfigError, match="move it away"):
            authority.add_node(name)
    assert snapshot(authority.directory) == before


def test_a_join_file_that_others_can_read_is_named_and_left_alone(authority):
    path = authority.add_broker("b1", ["tcp://h:1"])
    path.chmod(0o644)
    authority.add_node("n1")
    assert len(authority.stale) == 1
    assert "chmod 600" in authority.stale[0]
    path.chmod(0o600)
    authority.add_node("n2")
    assert authority.stale == ()
    assert_up_to_date(authority)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_secret_that_others_can_read_is_refused(authority, mode):
    (authority.directory / "authority.key").chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        Authority.open(authority.directory)


@pytest.mark.parametrize("content", [b"", b"x", b"{}", b"[]", b"\xff", b"[" * 60_000])
@pytest.mark.parametrize("name", ["authority.key", "manifest.json"])
def test_a_damaged_file_is_one_clear_line(authority, name, content):
    (authority.directory / name).write_bytes(content)
    with pytest.raises(ConfigError, match="backup") as raised:
        Authority.open(authority.directory)
    assert len(str(raised.value).splitlines()) == 1


def test_a_damaged_key_file_does_not_leak_its_secret(authority):
    path = authority.directory / "authority.key"
    key = json.loads(path.read_bytes())
    for net in ("x", key["seed"]):
        path.write_text(json.dumps({**key, "net": net}))
        with pytest.raises(ConfigError) as raised:
            Authority.open(authority.directory)
        assert key["seed"] not in str(raised.value)
    assert "seed" not in repr(authority)


def test_a_newer_format_is_told(authority):
    for name, field in (("manifest.json", "braidmq_manifest"), ("authority.key", "braidmq_authority")):
        path = authority.directory / name
        path.write_text(json.dumps({**json.loads(path.read_bytes()), field: 3}))
        with pytest.raises(ConfigError, match="newer"):
            Authority.open(authority.directory)


def test_the_key_of_another_authority_does_not_fit_the_manifest(authority, tmp_path):
    other = Authority.create(tmp_path / "other")
    (other.directory / "authority.key").replace(authority.directory / "authority.key")
    with pytest.raises(ConfigError, match="signature"):
        Authority.open(authority.directory)


def test_missing_files_are_told(authority, tmp_path):
    with pytest.raises(ConfigError, match="braidmq init"):
        Authority.open(tmp_path / "nothing")
    (authority.directory / "manifest.json").unlink()
    with pytest.raises(ConfigError, match="does not exist"):
        Authority.open(authority.directory)


@pytest.mark.nightly
def test_adds_of_several_processes_all_land(authority):
    groups = [[f"{kind}{group}-{n}" for n in range(4) for kind in "bn"] for group in range(4)]
    children = [
        subprocess.Popen([sys.executable, "-c", ADD, str(authority.directory), *group], stderr=subprocess.PIPE)
        for group in groups
    ]
    for child in children:
        _, complaint = child.communicate(timeout=60)
        assert child.returncode == 0, complaint
    assert names(authority) == {name for group in groups for name in group}
    assert authority.manifest().version == 32
    assert_up_to_date(authority)


def test_of_several_processes_that_add_one_name_one_succeeds(authority):
    children = [
        subprocess.Popen([sys.executable, "-c", ADD, str(authority.directory), "n1"], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    complaints = [child.communicate(timeout=60)[1] for child in children]
    assert sorted(child.returncode for child in children) == [0, 1, 1, 1]
    assert sum(b"already" in complaint for complaint in complaints) == 3
    assert_up_to_date(authority)


def test_of_several_processes_that_make_a_net_one_succeeds(tmp_path):
    script = "import sys; from braidmq.trust.authority import Authority; Authority.create(sys.argv[1])"
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "net")], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for child in children:
        child.communicate(timeout=60)
    assert sorted(child.returncode for child in children) == [0, 1, 1, 1]
    assert Authority.open(tmp_path / "net").members() == ()


DIE = """
import os, sys
from pathlib import Path
calls, after = 0, sys.argv.pop(1) == "after"
fatal, replace = int(sys.argv.pop(1)), Path.replace

def dying(*arguments):
    global calls
    calls += 1
    if calls == fatal and not after:
        os._exit(9)
    replace(*arguments)
    if calls == fatal:
        os._exit(9)

Path.replace = dying
"""


@cases("moment", ["before", "after"], one_in=2)
@pytest.mark.parametrize("write", [1, 2, 3, 4, 5])
def test_an_add_that_dies_at_any_write_is_repaired_by_the_next(authority, moment, write):
    for name in ("b1", "b2", "n1"):
        if name.startswith("b"):
            authority.add_broker(name, [f"tcp://{name}:5550"])
        else:
            authority.add_node(name)
    child = run(DIE + ADD, moment, write, authority.directory, "b3")
    assert child.returncode == 9, child.stderr
    assert_whole(authority)
    again = run(ADD, authority.directory, "b3")
    if again.returncode:
        assert "already" in again.stderr  # the manifest had it: only the refreshing was left to do
    assert names(authority) == {"b1", "b2", "b3", "n1"}
    assert_up_to_date(authority)
    assert not [path for path in authority.directory.iterdir() if path.name.endswith(".braid-tmp")]


def test_two_manifests_never_share_a_version_even_after_a_crash(authority):
    child = run(DIE + ADD, "after", 1, authority.directory, "b1")
    assert child.returncode == 9, child.stderr
    orphan = load(authority.directory / "b1.braid")
    assert (orphan.manifest, orphan.roster) == (None, None)
    authority.add_node("n1")
    assert authority.manifest().version == 1


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("write", [1, 2])
def test_an_init_that_dies_at_any_write_can_be_repeated(tmp_path, moment, write):
    make = "from braidmq.trust.authority import Authority; Authority.create(sys.argv[1])"
    assert run(DIE + make, moment, write, tmp_path / "net").returncode == 9
    if (moment, write) != ("after", 2):
        Authority.create(tmp_path / "net")
    assert Authority.open(tmp_path / "net").members() == ()


@pytest.mark.parametrize("bytes_max", [0, 500, 950])
def test_a_disk_that_is_full_before_the_manifest_is_written_changes_nothing(authority, bytes_max):
    authority.add_broker("b1", ["tcp://b1:5550"])
    authority.add_node("n1")
    before = snapshot(authority.directory)
    child = run(FULL_DISK.format(bytes_max) + ADD, authority.directory, "b2")
    assert child.returncode == 1
    assert "OSError" in child.stderr
    assert_whole(authority)
    assert {name: data for name, data in snapshot(authority.directory).items() if name in before} == before
    authority.add_broker("b2", ["tcp://b2:5550"])
    assert_up_to_date(authority)


def test_a_disk_that_is_full_after_that_leaves_files_to_the_next_change(authority):
    authority.add_broker("b1", ["tcp://b1:5550"])
    authority.add_node("n1")
    told = "print(*authority.stale, sep=chr(10))"
    child = run(FULL_DISK.format(1500) + ADD + told, authority.directory, "b2")
    assert child.returncode == 0, child.stderr
    for name in ("b1", "b2"):
        assert f"{name}.braid could not be brought up to date: File too large" in child.stdout
    assert_whole(authority)
    with pytest.raises(ConfigError, match="already"):
        authority.add_broker("b2", ["tcp://b2:5550"])
    assert_up_to_date(authority)


def test_a_full_net_is_told(authority, monkeypatch):
    authority.add_node("n1")
    before = snapshot(authority.directory)
    monkeypatch.setattr(manifest, "MEMBERS_MAX", 1)
    with pytest.raises(ConfigError, match="full"):
        authority.add_node("n2")
    assert snapshot(authority.directory) == before


def test_several_brokers_are_registered_at_once(authority):
    authority.add_broker("b0", ["tcp://h:9"])
    paths = authority.add_brokers({"b1": ["tcp://h:1"], "b2": ["tcp://h:2", "tcp://h:2"]})
    assert paths == (authority.directory / "b1.braid", authority.directory / "b2.braid")
    assert {each.name: each.endpoints for each in authority.members()} == {
        "b0": ("tcp://h:9",),
        "b1": ("tcp://h:1",),
        "b2": ("tcp://h:2",),
    }
    assert authority.manifest().version == 2
    assert len({load(path).secret_key for path in paths}) == 2
    assert_up_to_date(authority)


@pytest.mark.parametrize(
    ("brokers", "said"),
    [
        ({"b1": ["tcp://h:1"], "b0": ["tcp://h:2"]}, "'b0' is registered already"),
        ({"b1": ["tcp://h:1"], "b2": ["tcp://h:9"]}, "endpoint of broker 'b0'"),
        ({"b1": ["tcp://h:1", "tcp://h:2"], "b2": ["tcp://h:2"]}, "endpoint of broker 'b1'"),
        ({"b1": ["tcp://h:1"], "b2": ["h:2"]}, "not an endpoint"),
        ({"b1": ["tcp://h:1"], "b 2": ["tcp://h:2"]}, "cannot name a member"),
    ],
)
def test_of_several_brokers_none_is_registered_if_one_cannot_be(authority, brokers, said):
    authority.add_broker("b0", ["tcp://h:9"])
    before = snapshot(authority.directory)
    with pytest.raises(ConfigError, match=said):
        authority.add_brokers(brokers)
    assert snapshot(authority.directory) == before
