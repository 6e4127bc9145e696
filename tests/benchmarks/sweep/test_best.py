"""What a sweep leaves: the best settings as a file that a benchmark takes, and a target that ends the search."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmarks.harness.plan import Request, make_plan
from benchmarks.suites.suite import load_suite
from benchmarks.sweep.best import write_best
from benchmarks.sweep.files import load_sweep
from benchmarks.sweep.report import VALUES
from benchmarks.sweep.study import open_study
from benchmarks.sweep.trial import parse
from facecloak.cli.main import main


def told(found, objectives):
    """A study with a trial for each score; the n-th has the first parameter n."""
    study = open_study(found, "sqlite://")
    for number, objective in enumerate(objectives):
        study.enqueue_trial({next(iter(found.space)): number + 1})
        trial = study.ask(found.space)
        trial.set_user_attr(VALUES, found.values(trial.params))
        for name in ("objective", "psr", "psnr"):
            trial.set_user_attr(name, objective)
        study.tell(trial, objective)
    return study


def test_the_best_settings_are_those_of_the_trial_when_a_benchmark_takes_them(sweep, toys, tmp_path):
    path = Path(sweep({"pgd.epsilon": {"min": 1, "max": 64}, "pgd.random_start": {"value": False}}))
    path.write_text(path.read_text().replace("- ${args}", "- --pgd.iterations=3\n- ${args}"))
    found = load_sweep(path)
    command = write_best(told(found, [1.0, 5.0, 5.0]), found, tmp_path)
    assert command == (f"facecloak benchmark {toys} --methods pgd --config {tmp_path}/best.yaml --out {tmp_path}/best")
    first, second, *_ = (tmp_path / "best.yaml").read_text().splitlines()
    assert first == "# The best of toy_sweep.yaml: trial 1, objective 5, psr 5, psnr 5." and second == f"# {command}"
    assert yaml.safe_load((tmp_path / "best.yaml").read_text()) == {
        "pgd": {"iterations": 3, "epsilon": 2, "random_start": False}
    }
    trial, _ = parse([*found.command({"pgd.epsilon": 2, "pgd.random_start": False}), f"--out={tmp_path}"])
    whole = make_plan(load_suite(str(toys)), Request(out=tmp_path, methods=["pgd"], config=tmp_path / "best.yaml"))
    assert {each.settings for each in whole.protections} == {each.settings for each in trial.protections}


def test_a_sweep_of_methods_leaves_the_best_of_them(sweep, tmp_path):
    path = Path(sweep({"methods": {"values": ["blur", "none"]}}, "grid"))
    path.write_text(path.read_text().replace("- --methods=pgd\n", ""))
    found = load_sweep(path)
    study = open_study(found, "sqlite://")
    trial = study.ask(found.space)
    trial.set_user_attr(VALUES, trial.params)
    study.tell(trial, 1.0)
    assert f"--methods {trial.params['methods']} --config" in write_best(study, found, tmp_path)
    assert yaml.safe_load((tmp_path / "best.yaml").read_text()) == {}


def test_no_trial_begins_after_one_has_reached_the_target(sweep, quick, tmp_path, capfd):
    grid = {"pgd.epsilon": {"values": [2, 32, 33, 34]}, "pgd.iterations": {"value": 2}}
    metric = {"name": "objective", "goal": "maximize", "target": 30}
    path = sweep(grid, "grid", metric=metric)
    for _ in range(2):  # also when the same command is typed again
        assert main(["sweep", path, "--out", str(tmp_path / "out")]) == 0
        assert "the target 30 has been reached after 2 of 4 trials" in capfd.readouterr().out
    assert [*pd.read_csv(tmp_path / "out" / "trials.csv")["pgd.epsilon"]] == [2, 32]


@pytest.mark.parametrize(
    "arguments, said",
    [(["--status", "nowhere"], "no sweep has been started there"), ([], "Which sweep?"),
     (["x.yaml", "--backend", "wandb", "--storage", "x"], "--storage is only for --backend local")],
)  # fmt: skip
def test_what_cannot_be_looked_at_is_refused_in_one_line(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *arguments]) == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1
