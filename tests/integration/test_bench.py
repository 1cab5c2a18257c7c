"""`braidmq bench`, each system for a moment: no test asserts how fast anything is."""

import json
import subprocess
import sys

import pytest

from braidmq.lab.bench.systems.table import OURS, SYSTEMS
from tests.support.nights import nightly_but

SHORT = ("--rounds", "1", "--seconds", "0.2", "--json")


def bench(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "braidmq", "bench", *arguments], capture_output=True, text=True, check=False, timeout=110
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.nightly
@pytest.mark.parametrize("name", nightly_but({OURS}, SYSTEMS))
def test_every_system_that_is_installed_answers(name):
    if why := SYSTEMS[name].missing():
        pytest.skip(why)
    against = "none" if name == OURS else name
    code, out, err = bench("--against", against, "--in-flight", "4", "--bytes", "100", *SHORT)
    assert code == 0, err
    results = {each["system"]: each for each in json.loads(out)["results"]}
    assert results.keys() == {SYSTEMS[OURS].title, SYSTEMS[name].title}
    median = results[SYSTEMS[name].title]["median"]
    assert median["per_s"] > 0
    assert 0 < median["p50_us"] <= median["p99_us"] <= median["p99_9_us"]
    assert median["client_us"] > 0
    assert median["worker_us"] > 0


@pytest.mark.nightly
def test_several_brokers_clients_and_workers_and_an_open_loop():
    shape = ("--clients", "2", "--workers", "2", "--brokers", "2")
    code, out, err = bench("--against", "limit", *shape, "--rate", "100", *SHORT)
    assert code == 0, err
    (only,) = json.loads(out)["results"]
    assert only["system"] == SYSTEMS[OURS].title, "one proxy cannot stand for two brokers"
    assert only["cell"]["shape"] == {"clients": 2, "workers": 2, "brokers": 2}
    assert only["median"]["per_s"] == pytest.approx(100, rel=0.2)


@pytest.mark.nightly
def test_tables_are_for_people_and_name_the_rivals_that_are_left_out(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    code, out, err = bench("--against", "nats-tls,limit", "--in-flight", "2", *SHORT[:-1])
    assert code == 0, err
    assert "1 x 1 over 1, 4 KiB, 2 in flight" in out
    assert f"without {SYSTEMS['nats-tls'].title}: " in err


@pytest.mark.nightly
def test_pictures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    code, _, err = bench("--against", "limit", "--in-flight", "2", *SHORT, "--plots", str(tmp_path / "plots"))
    assert code == 0, err
    (picture,) = (tmp_path / "plots").iterdir()
    assert picture.name == "1-x-1-over-1-4-KiB.svg"
    assert picture.read_text().startswith("<?xml")


def test_an_unknown_rival_is_refused():
    code, _, err = bench("--against", "nats,pigeon")
    assert code == 2
    assert err.count("\n") == 1
    assert "pigeon" in err
