from faults.promises.promise import Bound, Promise
from faults.promises.runner import try_promise

BOUNDS = (Bound("broken", most=0, of="tried"), Bound("drawn", at=1.0))


def promise(run):
    return Promise("p", "nothing breaks", run, BOUNDS)


def draws(stage):
    stage.evidence.count({"tried": 1, "broken": 0})
    stage.evidence.sample("drawn", stage.rng.random())
    stage.evidence.note(f"run {stage.number}")


def test_each_run_adds_to_the_same_evidence():
    said = []
    row = try_promise(promise(draws), 3, 7, said.append)
    assert (row.verdict, row.runs, row.evidence.counts["tried"]) == ("met", 3, 3)
    assert [line for line in said if "run " in line] == ["    run 0", "    run 1", "    run 2"]


def test_a_seed_decides_what_is_drawn():
    first, again, other = (
        try_promise(promise(draws), 2, seed, lambda _line: None).evidence.samples["drawn"] for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other
    assert first[0] != first[1]


def test_what_is_waited_for_in_vain_is_no_verdict_on_the_promise():
    def run(stage):
        draws(stage)
        assert stage.number == 0, "not within 30 s: X is at a broker"

    row = try_promise(promise(run), 3, 7, lambda _line: None)
    assert (row.verdict, row.runs) == ("not tried", 1)
    assert row.why.splitlines()[0] == "run 2: not within 30 s: X is at a broker"
