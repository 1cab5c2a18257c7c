"""Every file of deploy/ has a test, and what its documents quote is there."""

import re
from pathlib import Path

import pytest

from tests.support.deployed import DEPLOY, check_command, needs, said_by, words_of

TESTED = {
    "docker/.gitignore": "test_files.py",
    "docker/Dockerfile": "test_docker.py",
    "docker/Dockerfile.dockerignore": "test_docker.py",
    "docker/compose.yaml": "test_docker.py",
    "docker/make-net.sh": "test_docker.py",
    "grafana/braidmq.json": "test_grafana.py",
    "kubernetes/base/brokers.yaml": "test_kubernetes.py",
    "kubernetes/base/kustomization.yaml": "test_kubernetes.py",
    "kubernetes/base/monitor.yaml": "test_kubernetes.py",
    "kubernetes/base/network-policies.yaml": "test_kubernetes.py",
    "kubernetes/base/shout.yaml": "test_kubernetes.py",
    "kubernetes/example/kustomization.yaml": "test_kubernetes.py",
    "kubernetes/example/namespace.yaml": "test_kubernetes.py",
    "logs/journald.conf": "test_files.py",
    "logs/logrotate.conf": "test_files.py",
    "prometheus/rules-test.yaml": "test_prometheus.py",
    "prometheus/rules.yaml": "test_prometheus.py",
    "prometheus/scrape.yaml": "test_prometheus.py",
    "systemd/braidmq-bridge@.service": "test_systemd.py",
    "systemd/braidmq-broker@.service": "test_systemd.py",
    "systemd/braidmq-monitor.service": "test_systemd.py",
    "systemd/braidmq-worker@.service": "test_systemd.py",
}
READMES = sorted(DEPLOY.rglob("README.md"))
JOURNALD = Path("/lib/systemd/systemd-journald")


def test_every_file_has_a_test():
    files = {
        str(path.relative_to(DEPLOY))
        for path in DEPLOY.rglob("*")
        if path.is_file() and path not in READMES and "join" not in path.relative_to(DEPLOY).parts
    }
    assert files == set(TESTED)
    assert all((Path(__file__).parent / test).exists() for test in TESTED.values())


def quoted(path):
    """Return the commands of BraidMQ that a document quotes in its blocks, each as one line."""
    blocks = re.findall(r"^```\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
    for block in blocks:
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            found = re.match(r"\s*(?:sudo )?(braidmq [^>|&#]*)", line)
            if found:
                yield re.sub(r"\$\w+", "x", found[1])


COMMANDS = [(path.parent.name, line) for path in READMES for line in quoted(path)]


def test_there_are_commands_to_look_at():
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize(("document", "line"), COMMANDS)
def test_a_quoted_command_is_one(document, line):
    name, *words = words_of(line)
    if name == "add":
        assert words.pop(0) in {"broker", "node"}, document
    else:
        check_command([name, *words])


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_what_a_document_links_to_is_there(readme):
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", readme.read_text()):
        assert (readme.parent / link).exists(), link


def test_join_files_that_the_script_makes_are_in_no_commit():
    assert (DEPLOY / "docker" / ".gitignore").read_text() == "/join/\n"


# -- logs


def test_a_log_that_is_a_file_is_copied_and_cut_as_it_is_held_open():
    text = (DEPLOY / "logs" / "logrotate.conf").read_text()
    (pattern, body) = re.findall(r"^(\S+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)[0]
    assert pattern == "/var/log/braidmq/*.log"
    assert {"copytruncate", "compress", "missingok"} <= set(body.split())
    assert "postrotate" not in body, "nobody need be told"


@needs("logrotate")
def test_logrotate_finds_nothing_wrong_with_it():
    code, said = said_by("logrotate", "--debug", "--state", "/dev/null", DEPLOY / "logs" / "logrotate.conf")
    assert code == 0, said
    assert "error" not in said


def test_the_journal_knows_what_it_is_told():
    text = (DEPLOY / "logs" / "journald.conf").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "[Journal]"
    names = [line.partition("=")[0] for line in lines[1:]]
    assert {"SystemMaxUse", "MaxRetentionSec", "RateLimitBurst"} <= set(names)
    if JOURNALD.exists():
        program = JOURNALD.read_bytes()
        assert not [name for name in names if f"Journal.{name}".encode() not in program]
