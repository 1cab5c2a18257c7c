import pytest

from attacks.__main__ import main
from attacks.report import Row
from attacks.scenarios import SCENARIOS


@pytest.fixture
def ran(monkeypatch, tmp_path):
    names = []

    def run_row(scenario, _options, _say):
        names.append(scenario.name)
        return Row(
            scenario.name, scenario.attack, scenario.target, "missed" if scenario.name == "paths-lost" else "met"
        )

    monkeypatch.setattr("attacks.__main__.run_row", run_row)
    return lambda *arguments: (main([*arguments, "--report", str(tmp_path)]), names)


def test_the_first_words_of_a_name_choose_all_that_begin_so(ran):
    code, names = ran("poisoned", "seek")
    assert code == 0
    assert names == [*(name for name in SCENARIOS if name.startswith("poisoned-")), "seek"]


def test_a_row_that_misses_its_target_decides_the_exit_code(ran):
    assert ran("paths-busy", "paths-lost") == (1, ["paths-busy", "paths-lost"])


def test_all_are_run_if_none_is_named(ran):
    assert ran()[1] == list(SCENARIOS)


def test_an_unknown_name_is_told(ran, capsys):
    with pytest.raises(SystemExit):
        ran("path")
    assert "there is no scenario path; --list shows all" in capsys.readouterr().err


def test_all_are_listed(capsys):
    assert main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(SCENARIOS)
