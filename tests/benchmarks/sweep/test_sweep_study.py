"""The database of a sweep: several machines that use it, processes that no longer exist, the values of a trial."""

import statistics
from pathlib import Path

import pytest
from optuna.trial import TrialState

from benchmarks.sweep.files import load_sweep
from benchmarks.sweep.study import ask, locked, open_study, queue_grid, sign_on, take_up
from facecloak.cli.main import main
from tests.forked import start

EPSILON = {"pgd.epsilon": {"min": 1, "max": 64}, "pgd.iterations": {"value": 2}}


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_what_a_trial_draws_depends_on_its_number_not_on_who_asks(sweep, tmp_path, method):
    found = load_sweep(Path(sweep({"pgd.epsilon": {"min": 1.0, "max": 255.0}}, method)))
    draws = []
    for name in "ab":
        url = f"sqlite:///{tmp_path / name}.db"
        once = open_study(found, url)
        # the first as in an uninterrupted run, the second as in a run that starts again for each trial
        studies = [once] * 16 if not draws else [open_study(found, url) for _ in range(16)]
        draws.append([])
        for study in studies:
            trial = ask(study, found, url, "nobody")
            draws[-1].append(trial.params["pgd.epsilon"])
            study.tell(trial, -abs(draws[-1][-1] - 100))
    assert draws[0] == draws[1] and len(set(draws[0])) == 16
    distance = statistics.median(abs(each - 100) for each in draws[0][10:])
    assert distance < 30 if method == "bayes" else distance > 40  # bayes learns where the best is


def test_machines_on_one_database_run_each_place_of_a_grid_once(sweep, quick, tmp_path):
    """They start at the same moment, with separate folders; one place of the grid has failed before."""
    grid = {"pgd.epsilon": {"values": [1, 2, 3]}, "pgd.iterations": {"value": 1}}
    found, url = load_sweep(Path(sweep(grid, "grid"))), f"sqlite:///{tmp_path / 'study.db'}"
    study = open_study(found, url)
    with locked(url):
        queue_grid(study, found, 3)
    failed = ask(study, found, url, "nobody")
    study.tell(failed, state=TrialState.FAIL)
    command = ["sweep", found.path, "--count", "3", "--storage", url]
    machines = [start(*command, "--out", tmp_path / name) for name in "ab"]
    assert {machine.wait().returncode for machine in machines} <= {0, 1}  # 1 for the machine that finished first
    complete = [trial.params["pgd.epsilon"] for trial in study.get_trials(states=[TrialState.COMPLETE])]
    assert sorted(complete) == [1, 2, 3]


def test_a_trial_of_a_process_that_is_no_more_is_taken_up_and_no_other(sweep, tmp_path):
    found, url = load_sweep(Path(sweep(EPSILON))), f"sqlite:///{tmp_path / 'study.db'}"
    study = open_study(found, url)
    (alive, lock), (dead, gone) = sign_on(tmp_path), sign_on(tmp_path)
    lock.acquire()
    gone.acquire()
    trials = {name: ask(study, found, url, name) for name in (alive, dead, "of-another-machine")}
    gone.release()
    take_up(study, tmp_path, shared=True)
    states = {name: study.trials[trial.number].state for name, trial in trials.items()}
    assert states == {alive: TrialState.RUNNING, dead: TrialState.FAIL, "of-another-machine": TrialState.RUNNING}
    assert ask(study, found, url, alive).params == trials[dead].params
    lock.release()


@pytest.mark.parametrize("url", ["nothing", "sqlite:///nowhere/study.db", "oracle://me:secret@here"])
def test_a_database_that_cannot_be_opened_is_named(sweep, tmp_path, capsys, url):
    assert main(["sweep", sweep(EPSILON), "--storage", url, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "trial database cannot be opened" in said and "secret" not in said
