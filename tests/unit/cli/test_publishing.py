"""What is said of a registry that was handed in."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from braidmq import publication
from braidmq.cli.net import publishing
from braidmq.cli.net.publishing import tell
from braidmq.core.links.link import Failure
from braidmq.publication import Publication
from braidmq.trust.authority import Authority
from braidmq.wire.registry import BrokerVersion, Published


def test_what_is_refused_as_another_command_was_quicker_is_no_failure(tmp_path, monkeypatch):
    authority = Authority.create(tmp_path / "net", operator=True)
    older = authority.manifest()
    authority.add_broker("b1", ["tcp://h:1"])
    handed = []

    def publish(_identity, manifest):
        handed.append(manifest.version)
        refused = frozenset() if manifest.version > older.version else frozenset(("b1",))
        return Publication(manifest.version, () if refused else ("b1",), dict.fromkeys(refused, "newer"), refused)

    monkeypatch.setattr(publishing, "publish", publish)
    assert publishing.hand_in(authority, older).have == ("b1",)
    assert handed == [older.version, older.version + 1]
    handed.clear()
    publishing.hand_in(authority, authority.manifest())
    assert len(handed) == 1


def said(version, refused="", **brokers):
    return Published(version, refused, [BrokerVersion(name, held) for name, held in brokers.items()])


@pytest.mark.parametrize(
    ("outcomes", "have"),
    [
        ({"b1": said(7, b2=7, b3=6)}, {"b1", "b2"}),
        ({"b1": said(7, "another registry 7 is in force", b2=7), "b2": said(7, "another", b1=7)}, set()),
        ({"b1": said(9, "registry 9 is in force, which is newer", b2=9)}, set()),
        ({"b1": said(7, b2=7), "b2": said(7, "another registry 7 is in force", b1=7)}, {"b1"}),
        ({"b1": said(7, b2=7), "b2": said(6, "it does not come", b1=7)}, {"b1", "b2"}),
    ],
)
def test_who_refuses_a_registry_is_believed_in_nothing_about_it(outcomes, have):
    told: Any = SimpleNamespace(outcomes=outcomes)
    assert publication._have(told, 7) == have


def test_brokers_that_refuse_it_are_not_told_to_get_it(capsys):
    lack = {"b1": "another registry 4 is in force", "b2": "nothing answers there"}
    tell(Publication(4, (), lack, frozenset(("b1",))), Path("net"), as_json=False)
    said = "Registry 4 does not come into force (b1: another registry 4 is in force; b2: nothing answers there).\n"
    assert capsys.readouterr().out == said
    tell(Publication(4, ("b2",), {"b1": lack["b1"]}, frozenset(("b1",))), Path("net"), as_json=False)
    assert capsys.readouterr().out.splitlines()[1:] == ["b1 refuses it: another registry 4 is in force."]


def test_a_broker_that_is_down_gets_it_later_and_one_that_nobody_finds_may_be_misspelt(capsys):
    lack = {"b2": Failure.UNREACHABLE.value, "b3": Failure.UNRESOLVED.value}
    tell(Publication(4, ("b1",), lack), Path("net"), as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "Registry 4 is in force at b1.",
        "b2 does not have it yet: nothing answers there. It gets it from the others.",
        f"b3 does not have it yet: {lack['b3']}. If that is misspelt: braidmq set b3 --endpoint tcp://HOST:PORT",
    ]
