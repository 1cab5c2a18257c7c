import os
import sys

import pytest

from braidmq import cli
from braidmq.cli.loading import source_of
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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["served_here:node", "--processes", "0"], "0 is not in the range 1<=x<=256"),
        (["served_here:node", "--processes", "2", "--reload"], "--reload is for one process"),
        (["served_here:node", "--processes", "2", "--join", "-"], "a pipe can be read once: name a file"),
        (["served_here:node", "--reload", "--join", "pipe"], "a pipe can be read once: name a file"),
        (["--service", "s", "--exec", "cat", "--processes", "2"], "--exec starts a process for each request anyway"),
        (["--service", "s", "--exec", "cat", "--reload"], "--exec starts a process for each request anyway"),
        (["served here", "--processes", "2"], "write MODULE:NAME, as in app:services"),
        (["served_here:node", "--time-limit", "1"], "goes without --service, --exec, --concurrency and --time-limit"),
        (["--service", "s", "--exec", "cat", "--time-limit", "0"], "0.0 is not in the range 0.0<x<=86400.0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_do_not_go_together_are_exit_code_2(here, tmp_path, capfd, options, said):
    os.mkfifo(tmp_path / "pipe")
    assert cli.run(["serve", *options]) == 2
    assert said in capfd.readouterr().err


def test_the_source_is_watched_here_and_where_the_package_is(here, tmp_path, monkeypatch):
    assert source_of("served_here:node") == [tmp_path]
    assert source_of("nothing_of_this_name:node") == [tmp_path]
    elsewhere = tmp_path.parent / f"{tmp_path.name} elsewhere" / "package"
    elsewhere.mkdir(parents=True)
    (elsewhere / "__init__.py").write_text("raise SystemExit('it is not imported')\n")
    monkeypatch.syspath_prepend(elsewhere.parent)
    assert source_of("package.part:node") == [tmp_path, elsewhere]
