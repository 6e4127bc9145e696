"""Early ends are decided as W&B's own engine decides them."""

import random
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from sweeps.run import RunState, SweepRun

from benchmarks.sweep.hyperband import read_hyperband
from facecloak.errors import FacecloakError
from sweeps import stop_runs

PATH = Path("file.yaml")
SPECS = [
    {"min_iter": 1}, {"min_iter": 2, "eta": 2}, {"min_iter": 1, "eta": 1.5}, {"min_iter": 1, "eta": 3.6},
    {"max_iter": 8, "s": 2, "eta": 2}, {"max_iter": 27, "s": 9}, {"max_iter": 9, "s": 2, "eta": 2.5, "min_iter": 7},
]  # fmt: skip


def ids(spec):
    return " ".join(f"{key}={value}" for key, value in spec.items())


def study_and_runs(seed):
    """The same trials for Optuna and for W&B's engine: some have ended, some run."""
    draw = random.Random(seed)
    study, runs = optuna.create_study(direction="maximize"), []
    for number in range(draw.randint(1, 12)):
        trial, base = study.ask(), draw.randint(0, 20)
        scores = [float(base + draw.randint(0, 5)) for _ in range(draw.randint(0, 10))]
        for cell, score in enumerate(scores, 1):
            trial.report(score, cell)
        is_running = draw.random() < 0.5
        runs.append(SweepRun(name=str(number), state=RunState.running if is_running else RunState.finished,
                             **{"sampledHistory": [{"objective": score} for score in scores]}))  # fmt: skip
        if not is_running:
            study.tell(trial, state=TrialState.PRUNED) if draw.random() < 0.5 else study.tell(trial, 1.0)
    return study, runs


@pytest.mark.parametrize("spec", SPECS, ids=ids)
def test_the_same_trials_are_ended_as_by_wandbs_engine(spec):
    ended = 0
    pruner, _ = read_hyperband(PATH, {"type": "hyperband", **spec})
    for seed in range(40):
        study, runs = study_and_runs(seed)
        config = {"method": "random", "metric": {"name": "objective", "goal": "maximize"},
                  "parameters": {"a": {"values": [1]}}, "early_terminate": {"type": "hyperband", **spec}}  # fmt: skip
        theirs = {int(run.name) for run in stop_runs(config, runs)}
        running = study.get_trials(states=[TrialState.RUNNING])
        assert {trial.number for trial in running if pruner.prune(study, trial)} == theirs, seed
        ended += len(theirs)
    assert ended > 5


def test_strict_looks_at_the_score_at_the_band_and_not_at_the_best():
    study = optuna.create_study(direction="maximize")
    for scores in ([9, 1], [2, 3], [0, 2]):
        trial = study.ask()
        for cell, score in enumerate(scores, 1):
            trial.report(score, cell)
    first = study.trials[0]
    for strict in (True, False):
        pruner, _ = read_hyperband(PATH, {"type": "hyperband", "min_iter": 1, "strict": strict})
        assert pruner.prune(study, first) == strict


def test_a_trial_that_failed_and_is_run_again_does_not_count_twice():
    study = optuna.create_study(direction="maximize")
    for scores, state in (([9, 9], TrialState.FAIL), ([9, 9], TrialState.FAIL), ([1, 1], None), ([0, 0], None)):
        trial = study.ask()
        for cell, score in enumerate(scores, 1):
            trial.report(score, cell)
        if state:
            study.tell(trial, state=state)
    pruner, _ = read_hyperband(PATH, {"type": "hyperband", "min_iter": 1})
    assert [pruner.prune(study, trial) for trial in study.trials[2:]] == [False, True]


@pytest.mark.parametrize(
    "spec, bands, unused",
    [
        ({"max_iter": 27, "s": 2}, (3, 9), []),
        ({"max_iter": 27, "s": 9}, (1, 3, 9), []),
        ({"max_iter": 16, "s": 2, "eta": 2, "min_iter": 9}, (4, 8), ["min_iter"]),
        ({"max_iter": 2, "s": 2}, None, []),
        ({"min_iter": 4, "eta": 1.5, "s": 2}, (4, 6, 9, 13, 20), ["s"]),
    ],
)
def test_the_bands(spec, bands, unused):
    found, keys = read_hyperband(PATH, {"type": "hyperband", **spec})
    assert (found.bands[: len(bands)] if bands else found) == bands and keys == unused


def test_a_sweep_without_it_ends_no_trial_early():
    assert read_hyperband(PATH, None) == (None, [])
    with pytest.raises(FacecloakError, match="early_terminate must have type hyperband"):
        read_hyperband(PATH, {})
