"""Real processes: what is said of changes in a copy of the authority's directory that is not the newest."""

import shutil

import pytest

BROKERS = ("b1", "b2", "b3")


@pytest.fixture
def copy(live, tmp_path):
    """Start a net of three brokers, and return an old copy of its directory, beside which something has changed."""
    live.add_members(*BROKERS)
    live.authority.add_node("operator", observe=True, publish=True)
    brokers = [live.broker(name) for name in BROKERS]
    for broker in brokers:
        broker.wait_for_line("connected to")
    copied = shutil.copytree(live.directory, tmp_path / "copy")
    assert "is in force at b1, b2, b3." in said(live, "set", "client", "--call", "echo", "--call", "x")
    return copied


def said(live, command, *arguments, net=None, code=0):
    result = live.run(command, *arguments, "--net", net or live.directory)
    assert (result.returncode, result.stderr) == (code, b""), result
    return result.stdout.decode()


@pytest.mark.nightly
def test_a_change_in_an_old_copy_is_not_said_to_be_in_force(live, copy):
    version = live.authority.manifest().version
    changed = live.run("revoke", "client", "--net", copy)
    assert changed.returncode == 1
    why = f"Registry {version} does not come into force (b1: another registry {version} is in force: "
    assert why in changed.stdout.decode()
    assert changed.stderr.decode().startswith(f"braidmq: the change is made in {copy}, and not in force: ")
    changed = said(live, "set", "client", "--call", "y")
    assert f"Registry {version + 1} is in force at b1, b2, b3." in changed
    again = said(live, "publish", net=copy, code=5)
    assert f"b1: registry {version + 1} is in force, which is newer than {version}" in again


@pytest.mark.nightly
def test_a_list_of_an_old_copy_says_so(live, copy):
    result = live.run("list", "--net", copy)
    assert result.returncode == 0
    version = live.authority.manifest().version
    assert f"registry {version} is in force, and {copy} has {version - 1}: is it an old copy" in result.stderr.decode()
