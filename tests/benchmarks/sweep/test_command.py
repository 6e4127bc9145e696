"""Command lines of trials: what W&B's agents make of a file's command is what the local engine runs, and is read."""

import json
import re
from pathlib import Path

import pytest
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from benchmarks.sweep.command import MACROS, plain_words
from benchmarks.sweep.files import load_sweep
from benchmarks.sweep.trial import parse
from facecloak.cli.main import main
from facecloak.errors import FacecloakError

HEAD = ["${env}", "${interpreter}", "-m", "benchmarks.sweep.trial"]
VALUES = {"methods": "pgd", "pgd.epsilon": 4, "pgd.iterations": 2, "pgd.random_start": True}


def with_macro(sweep, macro, nested=False):
    """A sweep of `VALUES` whose file has another macro than ${args}."""
    fields = {name.removeprefix("pgd."): {"values": [value, value and 9]} for name, value in VALUES.items()}
    inner = {name: spec for name, spec in fields.items() if name != "methods"}
    flat = {f"pgd.{name}": spec for name, spec in inner.items()}
    found = {"pgd": {"parameters": inner}} if nested else flat
    path = Path(sweep({**found, "methods": {"value": "pgd"}}))
    path.write_text(path.read_text().replace("${args}", macro).replace("- --methods=pgd\n", ""))
    return load_sweep(path)


def of_agent(found, values, folder):
    """The arguments that W&B's own client gives to a trial."""
    made = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    file = folder / "config-run.json"
    file.write_text(made["args_json"][0])
    made["args_json_file"] = [str(file)]
    parts = create_sweep_command([*HEAD, *found.arguments])[len(HEAD) :]
    return [word for part in parts for word in (made[part[2:-1]] if part.startswith("${") else [part])]


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("macro", MACROS)
def test_the_local_engine_types_what_the_agent_types_and_a_trial_reads_it_as_args(sweep, tmp_path, macro, flag):
    values = {**VALUES, "pgd.random_start": flag}
    found = with_macro(sweep, macro)
    typed = found.command(values, tmp_path / "out")
    found.write_json_file(values, tmp_path / "out")
    by_agent = of_agent(found, values, tmp_path)
    if macro == "${args_json_file}":
        assert json.loads(Path(typed[-1]).read_text()) == json.loads(Path(by_agent[-1]).read_text()) == values
        assert typed[:-1] == by_agent[:-1]
    else:
        assert typed == by_agent
    plain = found.plain_command(values)
    if macro == "${args_no_boolean_flags}" and not flag:
        plain.remove("--pgd.random_start=False")
    assert plain_words(typed) == plain == plain_words(by_agent)


@pytest.mark.parametrize("macro", MACROS)
def test_nested_parameters_reach_the_same_trial_by_every_macro(sweep, tmp_path, macro):
    found = with_macro(sweep, macro, nested=True)
    values = {**VALUES, "pgd.random_start": False}
    nested = {"methods": "pgd", "pgd": {"epsilon": 4, "iterations": 2, "random_start": False}}
    found.write_json_file(values, tmp_path / "out")
    ours, theirs = found.command(values, tmp_path / "out"), of_agent(found, nested, tmp_path)
    assert len({parse([*typed, f"--out={tmp_path}"])[0].out for typed in (ours, theirs)}) == 1


def test_variables_of_the_environment_are_filled_in_and_must_be_set(sweep, monkeypatch):
    path = Path(sweep({"pgd.epsilon": {"values": [1, 2]}}))
    path.write_text(path.read_text().replace("--floor=20", "--floor=${envvar:FLOOR}"))
    monkeypatch.delenv("FLOOR", raising=False)
    with pytest.raises(FacecloakError, match=re.escape("${envvar:FLOOR}, but $FLOOR is not set")):
        load_sweep(path)
    monkeypatch.setenv("FLOOR", "31")
    assert "--floor=31" in load_sweep(path).arguments


@pytest.mark.parametrize(
    "head, program, said",
    [
        (["${interpreter}", "-m", "${program}"], "benchmarks.sweep.trial", None),
        (["${env}", "python", "-m", "benchmarks.sweep.trial"], "anything", None),
        (["${env}", "${interpreter}", "-m", "${program}"], "train.py", "program must be benchmarks.sweep.trial"),
        (["${env}", "${interpreter}", "train.py"], "train.py", "command must begin with"),
        ([*HEAD, "--out=${runs}"], "", "${runs} is not supported"),
        ([*HEAD, "x${args}"], "", "x${args} is not supported"),
        ([*HEAD, "${args_json}"], "", "have one ${args}"),
    ],
)
def test_a_command_is_one_of_this_projects_trials(sweep, head, program, said):
    path = Path(sweep({"pgd.epsilon": {"values": [1, 2]}}, program=program))
    path.write_text(
        path.read_text().replace("".join(f"- {part}\n" for part in HEAD), "".join(f"- {part}\n" for part in head))
    )
    if said is None:
        assert load_sweep(path).arguments[-1] == "${args}"
    else:
        with pytest.raises(FacecloakError, match=re.escape(said)):
            load_sweep(path)


@pytest.mark.parametrize(
    "typed, plain",
    [
        (["suite", "--out", "a=b", "--limit", "3", "--help"], ["suite", "--out=a=b", "--limit=3", "--help"]),
        (["suite", "--pgd.x", "-4", "--pgd.y"], ["suite", "--pgd.x=-4", "--pgd.y=True"]),
        (["suite", "--pgd", "{'x': 4}"], ["suite", "--pgd={'x': 4}"]),
        (["suite", '{"pgd": {"x": null}, "blur.y": true}'], ["suite", "--pgd={'x': None}", "--blur.y=True"]),
        (["suite", "++pgd.x=a=b"], ["suite", "--pgd.x=a=b"]),
    ],
)
def test_words_become_plain(typed, plain):
    assert plain_words(typed) == plain


@pytest.mark.parametrize("typed", ["{'x': 4}", "{", "[1].json"])
def test_json_that_is_none_is_refused(typed):
    with pytest.raises(FacecloakError, match=re.escape(typed)):
        plain_words(["suite", typed])


def test_a_dry_run_prints_the_trials_that_a_sweep_begins_with_and_runs_none(sweep, quick, tmp_path, capsys):
    path, out = (
        sweep({"pgd.epsilon": {"min": 1, "max": 64}, "pgd.iterations": {"value": 2}}, impute="x"),
        tmp_path / "out",
    )
    Path(path).write_text(Path(path).read_text().replace("impute: x\n", "project: faces\n"))
    assert main(["sweep", path, "--count", "12", "--out", str(out), "--dry-run"]) == 0
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first == f"{path}: ignored by the local engine: project" and last == "… and 2 more"
    assert len(lines) == 10 and not out.exists()
    assert all(line.startswith("python -m benchmarks.sweep.trial ") and f"--out={out}/trials" in line for line in lines)
    assert main(["sweep", path, "--count", "2", "--out", str(out)]) == 0
    ran = [
        line.split("pgd.epsilon ")[1].split(",")[0] for line in capsys.readouterr().out.splitlines() if line[0] == "["
    ]
    assert ran == [re.search(r"--pgd\.epsilon=(\d+)", line)[1] for line in lines[:2]]


def test_a_dry_run_of_a_grid_ends_with_the_grid(sweep, capsys):
    path = sweep({"pgd.epsilon": {"values": [1, 2]}, "pgd.iterations": {"values": [3, 4]}}, "grid")
    assert main(["sweep", path, "--dry-run", "--count", "3"]) == 0
    found = re.findall(r"--pgd\.epsilon=(\d) --pgd\.iterations=(\d)", capsys.readouterr().out)
    assert found == [("1", "3"), ("1", "4"), ("2", "3")]


def test_validate_looks_at_the_values_that_a_trial_gets(sweep, capsys):
    """Not at what Optuna draws, and without the file that the macro stands for."""
    path = Path(sweep({"pgd.epsilon": {"values": [4, 8], "probabilities": [0.5, 0.5]}}))
    path.write_text(path.read_text().replace("${args}", "${args_json_file}"))
    assert main(["validate", str(path)]) == 0, capsys.readouterr()
