"""Sweeps without a server: all files are valid, trials are scored, none is lost or doubled, a killed one continues."""

import logging
import os
import signal
from pathlib import Path

import optuna
import pandas as pd
import pytest
import yaml
from optuna.distributions import IntDistribution
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from benchmarks import METHODS
from benchmarks.results.store import find_judgements
from benchmarks.results.table import long_table
from benchmarks.suites.suite import load_suite
from benchmarks.sweep.files import load_sweep
from benchmarks.sweep.local import environments, read_report
from benchmarks.sweep.report import importances, pareto, write_report
from benchmarks.sweep.study import open_study
from benchmarks.sweep.trial import PENALTY, parse, run_trial, score
from benchmarks.sweep.trial import main as trial_main
from facecloak.cli.main import main
from facecloak.errors import FacecloakError
from tests.forked import start, typed

JUDGED = "protections/*/judgements/*/*/judgement.json"  # in a run's folder
FILES = sorted((Path(__file__).parents[3] / "sweeps").rglob("*.yaml"))


EPSILON = {"pgd.epsilon": {"min": 1, "max": 64}, "pgd.iterations": {"value": 2}}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_sweep_is_read_and_its_first_trial_can_be_planned(path, tmp_path):
    sweep = load_sweep(path)
    study = open_study(sweep, "sqlite://")
    for _ in range(3):
        parse([*sweep.command(study.ask(sweep.space).params), f"--out={tmp_path}"])


def test_every_method_of_pocket_that_attacks_has_a_search_of_the_same_number_of_trials():
    files = [load_sweep(path) for path in FILES if path.parent.name == "pocket"]
    attacks = {name for name in load_suite("pocket").methods if METHODS[name].uses_surrogates} - {"diffam"}
    assert {next(iter(sweep.parameters)).split(".")[0] for sweep in files} == attacks
    assert {sweep.capped(100) for sweep in files} == {12}


def test_points_are_lost_below_the_floor():
    table = pd.DataFrame({"far": [0.1, 0.01, 0.01], "psr": [1.0, 0.5, 0.3], "psnr": [9.0, 22.0, 24.0],
                          "amortised_seconds_per_image": [1.0, 2.0, 4.0], "white_box": False})  # fmt: skip
    found = score(table, 25.0)
    assert found["psr"] == pytest.approx(40) and found["psnr"] == pytest.approx(23) and found["seconds_per_image"] == 3
    assert found["objective"] == pytest.approx(40 - 2 * PENALTY)
    assert score(table, 20.0)["objective"] == pytest.approx(40)
    identical = score(table.assign(psnr=None), 25.0)
    assert identical["objective"] == pytest.approx(40) and "psnr" not in identical


def test_a_trial_reports_as_it_goes_and_its_score_is_that_of_its_cells(sweep, tmp_path):
    trial = load_sweep(Path(sweep(EPSILON))).command({"pgd.epsilon": 16, "pgd.iterations": 2})
    steps = []
    values = run_trial([*trial, f"--out={tmp_path / 'out'}"], lambda *each: steps.append(each))
    assert [each[:2] for each in steps] == [(1, 2), (2, 2)] and steps[-1][2] == values
    assert not list((tmp_path / "out").glob("*/leaderboard*"))  # a trial writes no tables
    table = long_table(find_judgements([tmp_path / "out"]))
    rows = table[table["far"] == 0.01]
    assert values["psr"] == pytest.approx(100 * rows["psr"].mean()) and len(rows) == 2
    assert values["psnr"] == pytest.approx(rows["psnr"].mean())


@pytest.mark.parametrize("heard", [2, 1, 0])  # of the others the runner says nothing: another command made them
def test_judgements_that_others_have_finished_are_reported_one_by_one(sweep, tmp_path, monkeypatch, heard):
    trial = [*load_sweep(Path(sweep(EPSILON))).command({"pgd.epsilon": 16, "pgd.iterations": 2}), f"--out={tmp_path}"]
    run_trial(trial, lambda *_: None)
    (protections,) = tmp_path.glob("*/protections")
    protections.rename(tmp_path / "kept")

    def run(self, on_judged):
        (tmp_path / "kept").rename(protections)  # all are finished before this process has seen one
        for folder in self.folders()[:heard]:
            on_judged[0](folder)
        return long_table(self.folders())

    monkeypatch.setattr("benchmarks.sweep.trial.Runner.run", run)
    steps = []
    values = run_trial(trial, lambda *each: steps.append(each))
    assert [each[:2] for each in steps] == [(1, 2), (2, 2)] and steps[0][2] != steps[1][2] == values


def test_libraries_are_quiet_during_a_trial(monkeypatch):
    heard = []

    def run(arguments, report):
        heard.append(lightning.isEnabledFor(logging.INFO))
        return {}

    lightning = logging.getLogger("pytorch_lightning")
    monkeypatch.setattr(lightning, "level", logging.INFO)
    monkeypatch.setattr("benchmarks.sweep.trial.run_trial", run)
    assert trial_main(["pocket"]) == 0 and heard == [False]


def test_two_processes_end_with_as_many_trials_as_asked_for_and_each_place_of_a_grid_once(
    sweep, quick, tmp_path, capfd
):
    grid = {"pgd.epsilon": {"values": [2, 32]}, "pgd.iterations": {"values": [1, 3]}}
    path, out = sweep(grid, "grid"), tmp_path / "out"
    assert main(["sweep", path, "--count", "3", "--jobs", "2", "--out", str(out)]) == 0
    table = pd.read_csv(out / "trials.csv")
    assert len(table) == 3 and (table["state"] == "finished").all()
    assert not table.duplicated(["pgd.epsilon", "pgd.iterations"]).any()
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("[") and "objective" in line]
    assert len(lines) == 3
    assert main(["sweep", path, "--count", "9", "--out", str(out)]) == 0  # the grid has 4
    table = pd.read_csv(out / "trials.csv")
    assert len(table) == 4 and not table.duplicated(["pgd.epsilon", "pgd.iterations"]).any()
    best, worst = (table[table["pgd.epsilon"] == value]["psr"].max() for value in (32, 2))
    assert best >= worst


def test_a_parameter_that_was_never_varied_has_no_importance():
    study = optuna.create_study(direction="maximize")
    for value in (1, 1, 5, 9):
        study.add_trial(optuna.trial.create_trial(
            params={"a": value, "b": 3}, value=float(value),
            distributions={"a": IntDistribution(0, 9), "b": IntDistribution(0, 9)},
        ))  # fmt: skip
    assert importances(study) == {"a": 1.0}


def test_a_report_has_plots(tmp_path):
    study = optuna.create_study(direction="maximize")
    for place in range(4):
        trial = study.ask({"a": IntDistribution(0, 9)})
        for name in ("objective", "psr", "psnr"):
            trial.set_user_attr(name, 10.0 * place)
        study.tell(trial, 10.0 * place)
    assert len(write_report(study, tmp_path)) == 4
    plots = ("history.png", "pareto.png", "importance.png")
    assert all((tmp_path / name).stat().st_size > 3000 for name in plots)


def test_a_killed_sweep_says_where_it_is_goes_on_and_ends_with_as_many_trials(sweep, quick, tmp_path, capsys):
    path, out = sweep(EPSILON), tmp_path / "out"
    out.mkdir()
    os.mkfifo(out / "hold")  # the second trial waits after its first judgement
    process = start("sweep", path, "--count", "3", "--out", out)
    with open(out / "hold", "w"):  # opens when the trial is there
        assert main(["sweep", "--status", str(out)]) == 0
        process.kill()
        assert process.wait().returncode == -signal.SIGKILL
        assert len([*out.glob(f"trials/*/{JUDGED}")]) == 5
        assert main(["sweep", "--status", str(out)]) == 0
    status = capsys.readouterr().out.splitlines()
    assert status[0].startswith("toy_sweep: 1 of 3 trials done, 1 running, 0 ended early, best ")
    assert status[1].startswith("  best: trial 0, objective ") and "pgd.epsilon " in status[1]
    assert status[2].startswith("  trial 1: running, cell 2 of 3, ")
    assert status[3].startswith("toy_sweep: 1 of 3 trials done, 0 running")
    assert status[5].startswith("  trial 1: interrupted; the sweep's command runs it again, cell 2 of 3, ")
    (out / "hold").unlink()
    study = open_study(load_sweep(Path(path)), f"sqlite:///{out / 'study.db'}")
    left = [trial for trial in study.trials if not trial.state.is_finished()]
    assert len(left) == 1
    assert main(["sweep", path, "--count", "3", "--out", str(out)]) == 0
    table = pd.read_csv(out / "trials.csv")
    assert len(table) == 3 and table["number"].is_unique
    for trial in left:  # the trial that was running has been run, with its values
        assert (table["pgd.epsilon"] == trial.params["pgd.epsilon"]).any()


def test_a_file_that_has_changed_is_refused_in_the_same_folder(sweep, quick, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["sweep", sweep(EPSILON), "--count", "1", "--out", out]) == 0
    changed = sweep({**EPSILON, "pgd.iterations": {"value": 3}})
    assert main(["sweep", changed, "--count", "1", "--out", out]) == 2
    assert "has changed since its trials" in capsys.readouterr().err


def test_a_bad_trial_is_ended_early_but_never_after_its_last_cell(sweep, quick, tmp_path, capfd):
    grid = {"pgd.epsilon": {"values": [1, 2, 64]}, "pgd.iterations": {"value": 2}}  # the last falls below the floor
    path = Path(sweep(grid, "grid", early_terminate={"type": "hyperband", "min_iter": 1, "eta": 2}))
    path.write_text(path.read_text().replace("--floor=20", "--floor=40"))
    assert main(["sweep", str(path), "--count", "2", "--out", str(tmp_path)]) == 0
    os.mkfifo(tmp_path / "hold")  # the last trial does not continue unless it is ended
    assert main(["sweep", str(path), "--count", "3", "--out", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "trials.csv").set_index("pgd.epsilon")
    assert dict(table["state"]) == {1: "finished", 2: "finished", 64: "ended early"}
    cells = {row: len([*path.glob(JUDGED)]) for row, path in enumerate((tmp_path / "trials").iterdir())}
    assert sorted(cells.values()) == sorted(2 if state == "ended early" else 3 for state in table["state"])


def test_of_several_processes_of_a_trial_the_first_one_reports(sweep, tmp_path):
    def program():
        rank_zero_only.rank = int(os.environ.get("LOCAL_RANK", 0))  # as Lightning does when it is imported
        return trial_main()

    command = load_sweep(Path(sweep(EPSILON))).command({"pgd.epsilon": 16, "pgd.iterations": 2})
    shared = ["--devices=2", "--accelerator=cpu", f"--out={tmp_path / 'out'}"]
    ended = typed(*command, *shared, program=program).wait()
    assert ended.returncode == 0, ended.stderr
    said = [read_report(line) or line for line in ended.stdout.splitlines()]
    assert [each["cell"] for each in said[:2]] == [1, 2] and said[2].startswith("objective ") and len(said) == 3
    assert len([*(tmp_path / "out").glob(f"*/{JUDGED}")]) == 2


@pytest.mark.slow
def test_a_trial_may_have_several_processes(sweep, tmp_path):
    """Processes that are started, by a sweep; the test before this one forks them."""
    path = Path(sweep({"pgd.epsilon": {"value": 16}, "pgd.iterations": {"value": 2}}))
    content = yaml.safe_load(path.read_text())
    content["command"] = [part for part in content["command"] if part != "--limit=2"]
    content["command"][-1:] = ["--devices=2", "--accelerator=cpu", "${args}"]
    path.write_text(yaml.safe_dump(content))
    assert main(["sweep", str(path), "--count", "1", "--out", str(tmp_path / "out")]) == 0
    table = pd.read_csv(tmp_path / "out" / "trials.csv")
    assert [*table["state"]] == ["finished"] and table["psnr"].notna().all()
    assert len([*(tmp_path / "out" / "trials").glob(f"*/{JUDGED}")]) == 2


@pytest.mark.parametrize(
    "jobs, shares",
    [(None, ["4", "5", "6", "7"]), (1, ["4,5,6,7"]), (2, ["4,5", "6,7"]), (5, ["4", "5", "6", "7", "4"])],
)
def test_processes_share_the_gpus(monkeypatch, jobs, shares):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert [each["CUDA_VISIBLE_DEVICES"] for each in environments(jobs)] == shares


def test_the_front_is_what_nothing_else_beats_in_both():
    trials = pd.DataFrame({"psr": [10, 20, 20, 30, 5], "psnr": [30.0, 25.0, 26.0, 20.0, None]})
    assert [*pareto(trials).index] == [0, 2, 3, 4]


def test_a_trial_that_fails_ends_the_sweep_with_its_command(sweep, quick, tmp_path, capfd):
    assert main(["sweep", sweep({"pgd.epsilonn": {"values": [1, 2]}}), "--out", str(tmp_path / "out")]) == 2
    printed = capfd.readouterr().err
    assert "A trial failed, see above: python -m benchmarks.sweep.trial" in printed and "--pgd.epsilonn=" in printed
    assert "KeyError: 'pgd.epsilon'" in printed  # what the trial said


def test_what_does_not_decide_a_trials_results_does_not_move_its_folder(toys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = [str(toys), "--methods=pgd,blur", "--black-box=ada", "--pgd.epsilon=4", "--pgd.iterations=2"]

    def folder(*arguments):
        return parse(list(arguments))[0].out.resolve()

    first = folder(*typed, "--out=out")
    shuffled = [*reversed(typed[1:]), str(toys.relative_to(tmp_path))]
    assert folder(*shuffled, f"--out={tmp_path / 'out'}", "--floor=30", "--accelerator=cpu") == first
    assert folder(*typed, "--out", "out", "--devices=2", "--accelerator=cpu", "--methods=blur,pgd") == first
    assert folder(*typed[:3], "--pgd={'epsilon': 4, 'iterations': 2}", "--out=out") == first  # as W&B's agents write it
    for other in ("--pgd.epsilon=5", "--limit=1", "--black-box=bob", "--targets=2", "--methods=pgd"):
        assert folder(*typed, "--out=out", other) != first


def test_a_report_is_known_by_what_it_holds_not_by_the_order_of_its_keys():
    assert read_report('{"objective": 1.5, "cells": 2, "cell": 1}\n') == {"objective": 1.5, "cells": 2, "cell": 1}
    others = ('{"cell": 1, "cells": 2}', '{"cell"', "[1]", "NaN", "", "[" * 100_000, '["cell", "cells", "objective"]')
    assert not any(map(read_report, others))


@pytest.mark.parametrize("text", ["--pgd={'epsilon'", "--pgd={}", "--pgd={1}"])
def test_what_is_no_nested_setting_is_refused(text):
    with pytest.raises(FacecloakError, match="unknown argument"):
        parse(["pocket", text])


def test_unknown_arguments_of_a_trial_are_refused():
    with pytest.raises(FacecloakError, match="unknown argument '--epsilon=3'"):
        parse(["pocket", "--epsilon=3"])
