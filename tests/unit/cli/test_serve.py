import sys

import pytest

from braidmq.cli.serve import load
from braidmq.errors import ConfigError
from braidmq.node import Node
from braidmq.services import Services
from braidmq.trust.authority import Authority


@pytest.fixture
def here(tmp_path, monkeypatch):
    join = Authority.create(tmp_path / "net").add_node("n1", serves=["*"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(text):
        (tmp_path / "served_here.py").write_text(f"from braidmq import Node\nnode = Node({str(join)!r})\n{text}")

    write("@node.service('s')\nasync def s(request): return b''\n")
    return write


def test_a_node_is_found_in_a_module_of_the_current_directory(here):
    node = load("served_here:node")
    assert isinstance(node, Node)
    assert (node.name, node.services) == ("n1", ("s",))


def test_services_are_found_there_too(here):
    here("from braidmq import Services\nservices = Services()\n@services.service('t')\ndef t(request): return b''\n")
    services = load("served_here:services")
    assert isinstance(services, Services)
    assert [service.name for service in services] == ["t"]


def test_services_of_which_none_is_declared_are_refused(here):
    here("from braidmq import Services\nservices = Services()\n")
    with pytest.raises(ConfigError, match=r"decorate its handlers with @services\.service"):
        load("served_here:services")


def test_a_node_without_a_service_is_refused(here):
    here("")
    with pytest.raises(ConfigError, match=r"decorate its handlers with @node\.service"):
        load("served_here:node")


@pytest.mark.parametrize(
    "target", ["", ":", "served_here", "served_here:", ":node", ".:node", "served here:node", "a/b:node", "a..b:node"]
)
def test_what_does_not_name_a_node_is_refused(here, target):
    with pytest.raises(ConfigError, match="write MODULE:NAME"):
        load(target)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("not_there:node", "there is no module 'not_there'"),
        ("not_there.below:node", "there is no module 'not_there'"),
        ("served_here.below:node", "there is no module 'served_here.below'"),
        ("served_here:other", "'other' in served_here does not exist"),
        ("served_here:Node", r"'Node' in served_here is a class, no braidmq\.Services and no braidmq\.Node"),
    ],
)
def test_what_is_not_there_is_named(here, target, said):
    with pytest.raises(ConfigError, match=said):
        load(target)


def test_a_module_that_lacks_another_is_not_said_to_be_missing(here):
    here("import not_there\n")
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        load("served_here:node")
