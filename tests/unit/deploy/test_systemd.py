"""The units of deploy/systemd: systemd finds nothing wrong with them, and what they run is there."""

import re
import shutil

import pytest

from braidmq.host.lifeline import ENDING_S_MAX
from braidmq.settings import Settings
from tests.support.deployed import DEPLOY, check_command, lines_of_unit, needs, of_unit, said_by, words_of

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
README = (DEPLOY / "systemd" / "README.md").read_text()

EXPOSURE_MAX = 1.5
"""Of 10.0; what remains is what a server on a network needs."""

COMMANDS = {
    "braidmq-bridge@": "bridge",
    "braidmq-broker@": "broker",
    "braidmq-monitor": "monitor",
    "braidmq-worker@": "serve",
}


def one(unit, name):
    (value,) = of_unit(unit, name)
    return value


@pytest.fixture
def installed(tmp_path):
    """Return where a unit lies whose programs are there, under a name with which it could be started."""

    def install(unit):
        program = tmp_path / "braidmq"
        shutil.copy("/bin/true", program)
        text = unit.read_text().replace("/opt/braidmq/bin/braidmq", str(program))
        path = tmp_path / unit.name.replace("@.", "@b1.")
        path.write_text(text)
        return path

    return install


def test_there_is_a_unit_for_each_kind_of_process():
    assert {unit.stem for unit in UNITS} == set(COMMANDS)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_what_it_runs_is_a_command_with_options_that_exist(unit):
    words = words_of(one(unit, "ExecStart").replace("/opt/braidmq/bin/", ""))
    words = [re.sub("%[a-zA-Z]", "x", word).replace("$SERVE", "app:services") for word in words]
    assert words[0] == COMMANDS[unit.stem]
    said = check_command(words)
    assert said["log_format"] == "journal"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_it_is_watched_capped_and_nobody(unit):
    assert one(unit, "Type") == "notify"
    assert int(one(unit, "WatchdogSec")) >= 10
    assert one(unit, "MemoryMax").endswith(("G", "M"))
    assert one(unit, "MemorySwapMax") == "0"
    assert one(unit, "DynamicUser") == "yes"
    assert one(unit, "Restart") == "always"
    assert one(unit, "LimitCORE") == "0"
    assert not of_unit(unit, "User")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_its_join_file_is_a_credential(unit):
    name = "monitor" if unit.stem == "braidmq-monitor" else "%i"
    assert of_unit(unit, "LoadCredential")[0] == f"join:/etc/braidmq/{name}.braid"
    credentials = {each.partition(":")[0] for each in of_unit(unit, "LoadCredential")}
    assert set(re.findall(r"%d/(\S+)", one(unit, "ExecStart"))) == credentials
    assert "--join %d/join" in one(unit, "ExecStart")
    assert "BRAIDMQ_" not in unit.read_text(), "an environment is seen by others"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_it_may_drain_before_it_is_killed(unit):
    assert int(one(unit, "TimeoutStopSec")) >= Settings().drain_s + ENDING_S_MAX


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_it_writes_only_where_it_may(unit):
    for path in re.findall(r"--state %S/(\S+)", one(unit, "ExecStart")):
        assert path.startswith(f"{one(unit, 'StateDirectory')}/")


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong_with_it(unit, installed):
    assert said_by("systemd-analyze", "verify", "--man=no", installed(unit)) == (0, "")


@needs("systemd-analyze")
def test_systemd_would_find_what_is_wrong(installed):
    path = installed(UNITS[0])
    path.write_text(path.read_text().replace("WatchdogSec=", "WachdogSec="))
    code, said = said_by("systemd-analyze", "verify", "--man=no", path)
    assert "'WachdogSec'" in said, code


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_its_exposure_is_what_the_readme_says(unit, installed):
    _, said = said_by("systemd-analyze", "security", "--offline=true", "--no-pager", installed(unit))
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= EXPOSURE_MAX
    assert f"| `{unit.name}` | {found[1]} |" in README


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_each_line_that_hardens_it_is_in_all_units(unit):
    def hardening(path):
        names = (
            "Capability",
            "Lock",
            "MemoryDeny",
            "NoNew",
            "Private",
            "Proc",
            "Protect",
            "Remove",
            "Restrict",
            "System",
        )
        return [line for line in lines_of_unit(path) if line[0] == "Service" and line[1].startswith(names)]

    assert hardening(unit) == hardening(UNITS[0])
