"""The results of a sweep: a table of its trials, and plots."""

from __future__ import annotations

import io
from pathlib import Path

import optuna
import pandas as pd
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from benchmarks.sweep.ends import EARLY, END, FINISHED
from facecloak.io import to_csv, write_bytes
from facecloak.metrics.statistics import pareto_front

VALUES = "values"  # attribute of a trial: its parameters' values, which may differ from what Optuna has drawn
MEASURES = ("objective", "psr", "psnr", "seconds_per_image")


def write_report(study: optuna.Study, out: Path) -> pd.DataFrame:
    """Write ``trials.csv``, ``history.png``, ``pareto.png`` and, if scores of trials differ, ``importance.png``.

    The file has the trials that failed or were interrupted, too; their ``state`` is a word of `ends`.

    Returns:
        the table of all others: number, state, pareto (no other trial has more PSR and PSNR), measures, parameters by
        their names.
    """
    lines = [
        {"number": trial.number, "state": state_of(trial), "pareto": False}
        | {name: trial.user_attrs.get(name) for name in MEASURES}
        | trial.user_attrs.get(VALUES, trial.params)
        for trial in study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
        if state_of(trial)
    ]  # fmt: skip
    everything = pd.DataFrame(lines, columns=None if lines else ["state"])
    table = everything[everything["state"].isin([FINISHED, EARLY])]
    if table.empty:
        return table
    complete = table[table["state"] == FINISHED]
    everything.loc[pareto(complete).index, "pareto"] = True
    write_bytes(out / "trials.csv", to_csv(everything))
    table, complete = everything.loc[table.index], everything.loc[complete.index]
    _history(complete, out / "history.png")
    _pareto(table, out / "pareto.png")
    if shares := importances(study):
        _importance(shares, out / "importance.png")
    return table


def state_of(trial: FrozenTrial) -> str:
    """The word of `ends` for how a trial ended; empty for one that was taken up again or was surplus."""
    return {TrialState.COMPLETE: FINISHED, TrialState.PRUNED: EARLY}.get(trial.state) or trial.user_attrs.get(END, "")


def pareto(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials for which no other trial has more ``psr`` and more ``psnr``; a missing PSNR counts as infinite."""
    return trials[pareto_front(trials["psr"], trials["psnr"].astype(float).fillna(float("inf")))]


def importances(study: optuna.Study) -> dict[str, float]:
    """Each parameter's share of what decides a trial's score, the largest first; empty if the scores do not differ.

    A parameter that had one value in all trials has no share.
    """
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len({trial.value for trial in complete}) < 2:
        return {}
    tried = {name: {repr(trial.params.get(name)) for trial in complete} for name in complete[0].params}
    return optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
        params=[name for name, values in tried.items() if len(values) > 1],
    )  # fmt: skip


def _history(trials: pd.DataFrame, path: Path) -> None:
    figure = Figure((6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(trials["number"], trials["objective"], "o", label="trial")
    axes.step(trials["number"], trials["objective"].cummax(), where="post", label="best so far")
    axes.set(xlabel="trial", ylabel="objective")
    axes.legend()
    _save(figure, path)


def _pareto(trials: pd.DataFrame, path: Path) -> None:
    figure = Figure((6, 4), layout="constrained")
    axes = figure.subplots()
    shown = trials.dropna(subset=["psnr"]).sort_values("psnr")
    front = shown[shown["pareto"]]
    axes.plot(shown["psnr"], shown["psr"], "o", color="silver", label="trial")
    axes.plot(front["psnr"], front["psr"], "o-", label="Pareto front")
    axes.set(xlabel="PSNR, dB", ylabel="black-box PSR, %")
    axes.legend()
    _save(figure, path)


def _importance(shares: dict[str, float], path: Path) -> None:
    figure = Figure((6, 1 + 0.5 * len(shares)), layout="constrained")
    axes = figure.subplots()
    axes.barh([*reversed(shares)], [*reversed(shares.values())])
    axes.set(xlabel="importance (PED-ANOVA)", xlim=(0, 1))
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
