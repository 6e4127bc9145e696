"""How far a sweep is: the numbers, the time left, the bar."""

import io
from datetime import datetime, timedelta

import optuna
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from benchmarks.sweep import status as module
from benchmarks.sweep.ends import END
from benchmarks.sweep.report import VALUES
from benchmarks.sweep.status import Watch, describe, duration, status_of
from benchmarks.sweep.study import PROCESS, sign_on

NOW = datetime(2026, 1, 1, 12)


def study_with(*trials):
    """Trials: (state, score, begun and ended in seconds before `NOW`, cells judged, process)."""
    study = optuna.create_study(study_name="toy", direction="maximize")
    for number, (state, score, begun, ended, cells, process) in enumerate(trials):
        trial = create_trial(
            state=state, value=score if state == TrialState.COMPLETE else None, params={"a": number},
            distributions={"a": IntDistribution(0, 99)}, intermediate_values=dict.fromkeys(range(1, cells + 1), 0.0),
            user_attrs={VALUES: {"pgd.epsilon": number}, "cells": 4, PROCESS: process}
            | ({END: "out of memory"} if state == TrialState.FAIL else {}),
        )  # fmt: skip
        trial.datetime_start = NOW - timedelta(seconds=begun)
        trial.datetime_complete = ended and NOW - timedelta(seconds=ended)
        study.add_trial(trial)
    return study


def sweep_of(folder):
    (alive, lock), (dead, _) = sign_on(folder), sign_on(folder)
    lock.acquire()
    study = study_with(
        (TrialState.COMPLETE, 40.0, 400, 300, 4, "x"), (TrialState.COMPLETE, 55.0, 300, 200, 4, "x"),
        (TrialState.PRUNED, None, 200, 100, 2, "x"), (TrialState.FAIL, None, 100, 99, 0, "x"),
        (TrialState.RUNNING, None, 50, None, 3, alive), (TrialState.RUNNING, None, 60, None, 1, dead),
    )  # fmt: skip
    return study, lock


def test_trials_are_counted_and_the_time_left_is_that_of_those_that_have_ended(tmp_path):
    study, lock = sweep_of(tmp_path)
    found = status_of(study, 6, tmp_path, NOW)
    assert (found.done, found.ended_early, found.best[:2]) == (3, 1, ("1", 55.0))
    assert [(each.cell, each.cells, each.seconds, each.interrupted) for each in found.running] == [
        (3, 4, 50, False), (1, 4, 60, True),
    ]  # fmt: skip
    assert found.seconds_left == 3 * 100 - 50  # three trials of 100 s are left, of which one has run for 50 s
    assert found.summary() == "1 running, 1 ended early, 1 out of memory, best 55.0, 4 min left"
    assert [*describe(found)] == [
        "toy: 3 of 6 trials done, 1 running, 1 ended early, 1 out of memory, best 55.0, 4 min left",
        "  best: trial 1, objective 55.0: pgd.epsilon 1",
        "  trial 4: running, cell 3 of 4, 50 s: pgd.epsilon 4",
        "  trial 5: interrupted; the sweep's command runs it again, cell 1 of 4, 60 s: pgd.epsilon 5",
    ]
    lock.release()


def test_a_sweep_that_has_just_begun_says_no_more_than_it_knows(tmp_path):
    found = status_of(study_with(), 6, tmp_path, NOW)
    assert [*describe(found)] == ["toy: 0 of 6 trials done, 0 running, 0 ended early"]


def test_durations_are_said_as_people_say_them():
    assert [duration(each) for each in (5.4, 89, 90, 3600, 7200)] == ["5 s", "89 s", "2 min", "60 min", "2.0 h"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_there_is_one_bar_and_elsewhere_none(tmp_path, monkeypatch):
    study, lock = sweep_of(tmp_path)
    drawn = {}
    for stream in (Terminal(), io.StringIO()):
        plain = module.progress
        with monkeypatch.context() as patch:
            patch.setattr(module, "progress", lambda to=stream, of=plain, **options: of(file=to, ncols=100, **options))
            watch = Watch(lambda: status_of(study, 6, tmp_path, NOW), lambda: None)
            with watch.running(6):
                watch.changed()
                drawn[type(stream)] = stream.getvalue()
    assert (
        "3/6 trials |" in drawn[Terminal]
        and "1 running, 1 ended early, 1 out of memory, best 55.0, 4 min left" in drawn[Terminal]
    )
    assert drawn[io.StringIO] == ""
    lock.release()


def test_the_page_is_written_now_and_then(monkeypatch):
    written = []
    watch = Watch(lambda: None, lambda: written.append(1))
    with watch.running(3):
        watch.changed()
        assert written == []
        monkeypatch.setattr(Watch, "EVERY", -1.0)
        watch.changed()
    assert written == [1]
