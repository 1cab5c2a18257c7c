"""The image and the net of deploy/docker: linted, and consistent. No engine runs here."""

import re
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose

from braidmq.host.lifeline import ENDING_S_MAX
from braidmq.host.notify import ALIVE
from braidmq.settings import Settings
from tests.support.deployed import DEPLOY, as_json, check_command, said_by

ROOT = DEPLOY.parent
DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
COMPOSE = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
SCRIPT = (DEPLOY / "docker" / "make-net.sh").read_text()
BROKERS = ("b1", "b2", "b3")
MEMBERS = (*BROKERS, "monitor", "shout", "call")
HADOLINT = Path(sysconfig.get_path("scripts")) / "hadolint"

IN_IMAGE = 10001


def instructions():
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line and not line.startswith("#")]


# -- the image


def test_hadolint_finds_nothing_wrong_with_the_dockerfile():
    assert said_by(HADOLINT, DOCKERFILE) == (0, "")


def test_hadolint_would_find_what_is_wrong(tmp_path):
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.read_text().replace("build-essential=12.9", "build-essential"))
    code, said = said_by(HADOLINT, tmp_path / "Dockerfile")
    assert code == 1
    assert "DL3008" in said


def test_the_image_is_of_two_stages_and_is_nobody():
    said = instructions()
    assert [what for what, _ in said].count("FROM") == 2
    users = [value for what, value in said if what == "USER"]
    assert users == [f"{IN_IMAGE}:{IN_IMAGE}"]
    last = [value for what, value in said if what == "COPY"][-1]
    assert last == "--from=build /opt/braidmq /opt/braidmq"
    assert ("ENTRYPOINT", '["braidmq"]') in said


def test_the_wheel_in_it_is_compiled_and_has_extras_that_exist():
    text = DOCKERFILE.read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "HATCH_BUILD_HOOK_ENABLE_MYPYC=true" in text
    assert "mypyc" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
    (extras,) = re.findall(r"install .*'\.\[(.*)\]'", text)
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])


def test_what_is_copied_is_there_and_nothing_else_reaches_the_engine():
    ignored = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    copied = {
        source
        for what, value in instructions()
        if what == "COPY" and not value.startswith("--from")
        for source in value.split()[:-1]
    }
    assert all((ROOT / source).exists() for source in copied)
    assert ignored[1] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert {"**/*.braid", "**/*.key"} <= set(ignored)


# -- the net


def test_compose_can_read_it():
    PyCompose.from_json(as_json(COMPOSE)).validate()


def test_compose_would_find_what_is_wrong():
    broken = as_json(COMPOSE).replace('"stop_grace_period"', '"stop_grace"')
    with pytest.raises(ValueError, match="stop_grace"):
        PyCompose.from_json(broken).validate()


@pytest.mark.parametrize("name", [*BROKERS, "monitor", "shout"])
def test_what_a_member_runs_is_a_command_with_options_that_exist(name):
    said = check_command(SERVICES[name]["command"])
    assert said["log_format"] == "json"


def test_what_is_called_by_hand_is_a_command():
    assert check_command([*SERVICES["call"]["entrypoint"][1:], "shout", "hello"])["service"] == "shout"


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_sees_its_own_secrets_alone_and_may_change_nothing(name):
    service = SERVICES[name]
    join = service["command" if "command" in service else "entrypoint"]
    path = join[join.index("--join") + 1]
    mounts = [volume for volume in service["volumes"] if volume.startswith("./")]
    own = {"monitor": 2}.get(name, 1)
    assert len(mounts) == own
    assert f"./join/{Path(path).name}:{path}:ro" in mounts
    assert all(mount.endswith(":ro") for mount in mounts)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "user" not in service
    assert set(service["environment"]) == {ALIVE}, "whatever runs as the same user can read it"


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_is_capped_and_may_drain(name):
    service = SERVICES[name]
    assert int(service["stop_grace_period"].removesuffix("s")) >= Settings().drain_s + ENDING_S_MAX
    assert name == "call" or service["mem_limit"].endswith(("g", "m"))
    assert service["ulimits"]["core"] == 0


def test_the_script_makes_what_the_net_mounts():
    made = set(re.findall(r"^ *for name in (.*); do$", SCRIPT, re.MULTILINE)[0].split())
    mounted = {
        Path(volume.split(":")[0]).name
        for service in SERVICES.values()
        for volume in service["volumes"]
        if volume.startswith("./join/")
    }
    assert mounted == {f"{name}.braid" for name in made} | {"monitor.token"}
    assert f"OWNER:-{IN_IMAGE}:{IN_IMAGE}" in SCRIPT


@pytest.mark.parametrize("name", BROKERS)
def test_a_broker_is_where_it_is_registered(name):
    said = check_command(SERVICES[name]["command"])
    (port,) = re.findall(r'--endpoint "tcp://\$broker:(\d+)"', SCRIPT)
    assert said["binds"] == (f"tcp://*:{port}",)
    assert ("EXPOSE", port) in instructions()
    state = f"/var/lib/braidmq/{name}.state"
    assert str(said["state"]) == state
    assert f"{name}:/var/lib/braidmq" in SERVICES[name]["volumes"]


@pytest.mark.parametrize("name", [*BROKERS, "monitor", "shout"])
def test_a_process_that_hangs_is_found_out(name):
    service = SERVICES[name]
    how, line = service["healthcheck"]["test"]
    assert (how, f"$${ALIVE}" in line) == ("CMD-SHELL", True)
    folder = service["environment"][ALIVE].rpartition("/")[0]
    assert service["tmpfs"] == [f"{folder}:uid={IN_IMAGE},gid={IN_IMAGE},mode=0700,size=64k"]


def test_the_dashboard_is_for_this_machine():
    assert SERVICES["monitor"]["ports"] == ["127.0.0.1:8088:8088"]


def test_the_authority_has_no_network_and_no_member_has_its_volume():
    assert SERVICES["authority"]["network_mode"] == "none"
    assert "authority:/authority" in SERVICES["authority"]["volumes"]
    assert not any("authority" in volume for name in MEMBERS for volume in SERVICES[name]["volumes"])
