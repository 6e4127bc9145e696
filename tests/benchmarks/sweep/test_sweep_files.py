"""Sweep files: every word of W&B's schema is supported, ignored with a message, or refused with a message."""

import json
import math
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.samplers import RandomSampler
from sweeps.params import HyperParameter

import sweeps
from benchmarks.sweep import local
from benchmarks.sweep.agents import study_of
from benchmarks.sweep.files import load_sweep
from benchmarks.sweep.parameters import KINDS
from benchmarks.sweep.report import VALUES
from benchmarks.sweep.study import open_study, queue_grid
from facecloak.cli.main import main
from facecloak.errors import FacecloakError

SCHEMA = json.loads((Path(sweeps.__file__).parent / "config" / "schema.json").read_text())
LAWS = [law for name, law in SCHEMA["definitions"].items() if name.startswith("param_") and name != "param_dict"]
LAWS = [law for each in LAWS for law in each.get("anyOf", [each])[:1]]
EPSILON = {"pgd.epsilon": {"min": 1, "max": 64}}
OPTIONS = {"min": 1, "max": 8, "value": 3, "values": [1, 2, 3], "probabilities": [0.2, 0.3, 0.5], "q": 2, "mu": 1.0,
           "sigma": 0.5, "a": 1, "b": 2}  # fmt: skip
TOP = {
    "apiVersion": "1", "kind": "sweep", "controller": {"type": "local"}, "description": "what", "name": "who",
    "entity": "team", "project": "faces", "run_cap": 5, "job": "a/b/c:latest", "image_uri": "a",
    "scheduler": {"engine": "wandb"},
    "early_terminate": {"type": "hyperband", "min_iter": 2},
}  # fmt: skip
SUPPORTED = (
    "program", "method", "metric", "parameters", "command", "run_cap", "early_terminate", "name", "description",
)  # fmt: skip


def loaded(path, **change):
    content = yaml.safe_load(Path(path).read_text()) | change
    Path(path).write_text(yaml.safe_dump(content))
    return load_sweep(Path(path))


@pytest.mark.parametrize("key", sorted({*SCHEMA["properties"], *TOP}))
def test_every_key_of_the_schema_is_supported_or_ignored_with_a_line(sweep, key):
    found = loaded(sweep(EPSILON), **({key: TOP[key]} if key in TOP else {}))
    ignored = "".join(found.notes).partition("ignored by the local engine: ")[2]
    assert ignored == ("" if key in SUPPORTED else key)


@pytest.mark.parametrize("key", sorted({*SCHEMA["properties"]["metric"]["properties"], "impute_while_running"}))
def test_every_key_of_a_metric_is_supported_or_ignored_with_a_line(sweep, key):
    values = {"target": 90.0, "impute": "worst", "impute_while_running": "best"}
    metric = {"name": "objective", "goal": "maximize"}
    found = loaded(sweep(EPSILON), metric={key: values.get(key), **metric})
    assert (f"metric.{key}" in "".join(found.notes)) == (key not in ("name", "goal", "target"))
    assert found.target == (90 if key == "target" else None)


@pytest.mark.parametrize("law", LAWS, ids=[law["properties"]["distribution"]["enum"][0] for law in LAWS])
def test_every_distribution_draws_as_wandbs_own_engine_does(sweep, law):
    kind = law["properties"]["distribution"]["enum"][0]
    spec = {key: OPTIONS[key] for key in law["properties"] if key != "distribution"} | {"distribution": kind}
    ours = load_sweep(Path(sweep({"pgd.epsilon": spec})))
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    draws = sorted(ours.values(study.ask(ours.space).params)["pgd.epsilon"] for _ in range(150))
    theirs = HyperParameter("pgd.epsilon", spec)
    for share in (0.25, 0.5, 0.75):
        near = [theirs.ppf(max(0.0, share - 0.15)), theirs.ppf(min(1.0, share + 0.15))]
        assert min(near) <= draws[int(share * len(draws))] <= max(near)
    value = draws[75]
    assert ours.values({"pgd.epsilon": ours.parameters["pgd.epsilon"].drawn(value)})["pgd.epsilon"] == pytest.approx(
        value
    )
    if "q" in spec:
        assert all(isinstance(each, int) and each % 2 == 0 for each in draws)


def test_the_table_of_distributions_is_that_of_the_schema():
    assert {*KINDS} == {law["properties"]["distribution"]["enum"][0] for law in LAWS}


def test_nested_parameters_get_dotted_names_and_are_found_in_wandbs_nested_config(sweep):
    pgd = {"parameters": {"epsilon": {"values": [4, 8]}, "iterations": {"value": 2}}}
    found = load_sweep(Path(sweep({"blur.size": {"value": 3}, "pgd": pgd})))
    values = {"blur.size": 3, "pgd.epsilon": 4, "pgd.iterations": 2}
    assert list(found.parameters) == list(values)
    assert found.command(values)[-3:] == ["--blur.size=3", "--pgd.epsilon=4", "--pgd.iterations=2"]
    config = {"pgd": {"epsilon": 4, "iterations": 2}, "blur.size": 3}
    run = {"name": "a", "state": "finished", "config": config, "summary": {"objective": 1.0, "cells": 1, "of": 1}}
    (trial,) = study_of(found, [run]).trials
    assert trial.params == values


def test_what_wandb_rounds_beyond_the_range_is_reported_as_it_is(sweep):
    spec = {"distribution": "q_log_uniform_values", "min": 0.3, "max": 8, "q": 1}
    found = load_sweep(Path(sweep({"pgd.epsilon": spec})))
    run = {"name": "a", "state": "finished", "config": {"pgd.epsilon": 0}, "summary": {"objective": 1.0}}
    (trial,) = study_of(found, [run]).trials
    assert trial.user_attrs[VALUES] == {"pgd.epsilon": 0} and trial.params["pgd.epsilon"] == 0.3


def test_numbers_that_yaml_takes_for_text_are_numbers(sweep):
    path = Path(sweep({"pgd.epsilon": {"distribution": "log_uniform_values", "min": 1.0, "max": 2.0}}))
    path.write_text(path.read_text().replace("min: 1.0", "min: 1e-4").replace("max: 2.0", "max: '1E2'"))
    (each,) = load_sweep(path).space.values()
    assert (each.low, each.high) == (1e-4, 100.0)
    found = loaded(
        path, parameters={"a": {"values": ["1e-3", "1e5x", "x"]}, "b": {"min": 1, "max": "1e1"}}, run_cap="1e1"
    )
    assert found.space["a"].choices == (0.001, "1e5x", "x") and found.space["b"].high == 10 and found.run_cap == 10


def test_a_grid_takes_steps(sweep):
    spec = {"distribution": "q_uniform", "min": 0.1, "max": 0.5, "q": 0.1}
    found = load_sweep(Path(sweep({"pgd.epsilon": spec, "pgd.iterations": {"min": 1, "max": 2}}, "grid")))
    assert found.parameters["pgd.epsilon"].places() == [0.1, 0.2, 0.3, 0.4, 0.5]
    study = open_study(found, "sqlite://")
    assert queue_grid(study, found, 99) == 10
    drawn = [study.ask(found.space).params for _ in range(10)]
    assert {each["pgd.epsilon"] for each in drawn} == {0.1, 0.2, 0.3, 0.4, 0.5}


def test_values_with_probabilities_are_drawn_that_often(sweep):
    spec = {"values": ["never", 4, 8, "too"], "probabilities": [0, 0.7, 0.3, 0]}
    found = load_sweep(Path(sweep({"pgd.epsilon": spec})))
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    draws = [found.values(study.ask(found.space).params)["pgd.epsilon"] for _ in range(200)]
    assert {*draws} == {4, 8} and 120 <= draws.count(4) <= 160
    (each,) = found.parameters.values()
    assert [each.value(each.drawn(value)) for value in (4, 8)] == [4, 8] and each.value(1.0) == 8


def test_lists_and_mappings_are_values_without_a_warning(sweep, recwarn):
    values = [[1, 2], {"a": [1]}, None, "x"]
    found = load_sweep(Path(sweep({"pgd.epsilon": {"values": values}}, "grid")))
    study = open_study(found, "sqlite://")
    assert queue_grid(study, found, 9) == 4
    drawn = [found.values(study.ask(found.space).params)["pgd.epsilon"] for _ in range(4)]
    assert drawn == values and not [each for each in recwarn if "categorical" in str(each.message)]
    (each,) = found.parameters.values()
    assert [each.value(each.drawn(value)) for value in values] == values


def test_run_cap_is_a_count_and_what_is_ignored_is_said_once(sweep, tmp_path, monkeypatch):
    counts, said = [], []

    class Workers:
        def __init__(self, *given):
            counts.append(given[3])

        def run(self):
            pass

    monkeypatch.setattr(local, "_Workers", Workers)
    path = Path(sweep(EPSILON, project="faces", entity="team", run_cap=2))
    for count in (1, 9):
        local.run_sweep(path, tmp_path / "out", count, jobs=1, storage=None, say=said.append)
    assert counts == [1, 2]
    assert [line for line in said if "ignored" in line] == [f"{path}: ignored by the local engine: entity, project"] * 2


NESTED: list = []
NESTED.append(NESTED)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"method": "bayesian"}, "Did you mean 'bayes'"),
        ({"method": math.nan}, "There is no method in"),
        ({"method": "custom"}, "method custom runs only with a scheduler of Weights & Biases"),
        ({"metric": {"name": "objective", "goal": "maximize", "target": "high"}}, "metric.target: expected a number"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "strict": "yes"}}, "strict must be true or false"),
        ({"metric": {"name": "psr", "goal": "maximize"}}, "metric must be"),
        ({"metric": [[1]]}, "metric must be"),
        ({"metric": {"name": "objective", "goal": "maximize", "aim": 1}}, "key of metric"),
        ({"command": ["python", "train.py"]}, "command must begin with"),
        ({"command": -1}, "command must begin with"),
        ({"command": ["${env}", "${interpreter}", "-m", ["x"]]}, "command[3] must be text"),
        ({"parameters": {}}, "no parameters"),
        ({"parameters": {"pgd": {"parameters": 3}}}, "no parameters to search in pgd"),
        ({"parameters": {"pgd.epsilon": {"min": 1}}}, "needs value, values, or min and max"),
        ({"parameters": {"pgd.epsilon": math.nan}}, "needs value, values, or min and max"),
        ({"parameters": {"pgd.epsilon": {"min": 1, "distribution": "uniform"}}}, "uniform needs max"),
        ({"parameters": {"pgd.epsilon": {"min": 5, "max": 2}}}, "pgd.epsilon: min must not be above max"),
        (
            {"parameters": {"pgd.epsilon": {"min": 1, "max": 2, "distribution": math.nan}}},
            "distribution of pgd.epsilon",
        ),
        ({"parameters": {"pgd.epsilon": {"min": 1, "max": 2, "distribution": [[1]]}}}, "distribution of pgd.epsilon"),
        ({"parameters": {"pgd.epsilon": {"min": 1, "max": math.inf}}}, "pgd.epsilon: max: inf is too large"),
        ({"parameters": {"pgd.epsilon": {"min": 1, "max": "1e999"}}}, "pgd.epsilon: max: inf is too large"),
        ({"parameters": {"pgd.epsilon": {"min": 1, "max": True}}}, "pgd.epsilon: max: expected a whole number"),
        ({"parameters": {"pgd.epsilon": {"min": "1", "max": 2}}}, "pgd.epsilon: min: expected a number"),
        ({"parameters": {"a": {"min": 0.0, "max": 1.0, "distribution": "log_uniform_values"}}}, "a: "),
        ({"parameters": {"a": {"min": 0, "max": 999, "distribution": "log_uniform"}}}, "a: "),
        ({"parameters": {"a": {"mu": 999, "distribution": "log_normal"}}}, "a: "),
        ({"parameters": {"a": {"sigma": 0, "distribution": "normal"}}}, "a: sigma must be above 0"),
        ({"parameters": {"a": {"min": 0, "max": 9, "q": 0, "distribution": "q_uniform"}}}, "a: q must be above 0"),
        ({"parameters": {"a": {"values": [1, 2], "probabilities": [0.5, 0.6]}}}, "a: probabilities must be at least"),
        ({"parameters": {"a": {"values": [1, 2], "probabilities": [-1, 2]}}}, "a: probabilities must be at least 0"),
        (
            {"parameters": {"a": {"values": [1, 2], "probabilities": [1]}}},
            "a: probabilities must be a list with a number",
        ),
        (
            {"parameters": {"a": {"values": [1, 2], "probabilities": 1}}},
            "a: probabilities must be a list with a number",
        ),
        ({"parameters": {"a": {"a": 0, "distribution": "beta"}}}, "a: a and b must be above 0"),
        ({"method": "grid", "parameters": {"a": {"values": [1], "probabilities": [1]}}}, "a grid needs values"),
        ({"parameters": {"a": {"value": 1, "min": 0}}}, "key of a in"),
        ({"parameters": {"a": {"values": []}}}, "a: values must be a list"),
        ({"parameters": {"a": {"values": 3}}}, "a: values must be a list"),
        ({"parameters": {"a": {"values": [1, 1]}}}, "a: 1 is in values twice"),
        ({"parameters": {"a": {"values": NESTED}}}, "more than 40 levels"),
        ({"parameters": {"a": {"value": "\0"}}}, "parameters.a.value: "),
        ({"parameters": {"a b": {"value": 1}}}, "'a b' cannot be the name"),
        ({"parameters": {1: {"value": 1}}}, "the key 1 is not text"),
        ({"parameters": {"a.b": {"value": 1}, "a": {"parameters": {"b": {"value": 2}}}}}, "a.b is given twice"),
        ({"parameters": {"a": {"value": 1, "parameters": {"b": {"value": 2}}}}}, "it can have no other keys"),
        ({"parameters": {"pgd.epsilon": {"min": 1, "max": 2, "scale": "log"}}}, "named 'scale'"),
        ({"method": "grid", "parameters": {"pgd.epsilon": {"min": 0.5, "max": 2.0}}}, "a grid needs values"),
        ({"method": "grid", "parameters": {"pgd.epsilon": {"min": 0, "max": 2**40}}}, "too many for a grid"),
        ({"early_terminate": {"type": "median"}}, "must have type hyperband"),
        ({"early_terminate": "hyperband"}, "must have type hyperband"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}}, "early_terminate.eta must be above 1"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 0}}, "early_terminate.min_iter must be at least 1"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1.5}}, "early_terminate.min_iter: expected a whole"),
        ({"early_terminate": {"type": "hyperband", "max_iter": 27}}, "must have min_iter, or max_iter and s"),
        ({"early_terminates": {"type": "hyperband"}}, "Did you mean 'early_terminate'"),
        ({"run_cap": 0}, "run_cap must be at least 1"),
        ({"run_cap": "many"}, "run_cap: expected a whole number"),
        ({"project": [[1]]}, "project must be text"),
        ({"program": -1}, "program must be text"),
        ({math.nan: 1}, "the key nan is not text"),
    ],
)
def test_what_cannot_be_a_sweep_is_refused_in_one_line_with_its_place(sweep, tmp_path, capsys, change, said):
    path = Path(sweep(EPSILON))
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    assert main(["sweep", str(path), "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1 and str(path) in printed


def test_dates_and_bytes_are_refused_with_their_place(sweep):
    path = Path(sweep(EPSILON))
    path.write_text(path.read_text() + "description: 2026-11-26\n")
    with pytest.raises(FacecloakError, match="description: expected text or a number"):
        load_sweep(path)
