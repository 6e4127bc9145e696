"""Sweep files with something wrong in them either load or are refused with a message, never with a traceback."""

import copy
import datetime
import math
import random
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.samplers import RandomSampler

from benchmarks.sweep.files import load_sweep
from facecloak.errors import FacecloakError

FILES = sorted((Path(__file__).parents[3] / "sweeps").glob("*.yaml"))
ODD = [
    None, True, False, 0, 1, -1, 2**70, 0.5, -1e308, 1e308, math.nan, math.inf, "", "x", "1e-4", "1e999", "${args}",
    "a/b", "\0", "é", [], [[1]], [None, None], {}, {"a": {}}, {1: 2}, {"value": {}},
    {"parameters": {"x": {"value": 1}}},
    {"min": 1, "max": 1e-3}, b"x", datetime.date(2026, 11, 26), {"x"},
]  # fmt: skip
WORDS = [
    "min", "max", "q", "mu", "sigma", "value", "values", "probabilities", "parameters", "distribution", "type", "eta",
    "s", "max_iter", "min_iter", "strict", "target", "impute", "goal", "run_cap", "project", "kind", "controller",
    "uniform", "q_uniform", "int_uniform", "log_uniform", "inv_log_uniform_values", "q_log_uniform_values", "normal",
    "q_log_normal", "constant", "categorical", "beta", "grid", "random", "bayes", "hyperband",
]  # fmt: skip


def mutate(content, draw: random.Random):
    """A copy of a YAML file's content, in which one to three places are changed."""
    content = copy.deepcopy(content)
    for _ in range(draw.randint(1, 3)):
        holder, key = draw.choice([*_places(content)])
        action = draw.choice(["odd", "word", "drop", "add", "rename", "swap", "wrap"])
        if action == "odd":
            holder[key] = draw.choice(ODD)
        elif action == "word":
            holder[key] = draw.choice(WORDS)
        elif action == "drop":
            del holder[key]
        elif action == "wrap":
            holder[key] = draw.choice([[holder[key]], {"parameters": holder[key]}, str(holder[key])])
        elif action == "swap":
            other, place = draw.choice([*_places(content)])
            holder[key] = copy.deepcopy(other[place])
        elif isinstance(holder, dict):
            holder[draw.choice([*WORDS, 1, math.nan, "", "a b"])] = (
                draw.choice(ODD) if action == "add" else holder.pop(key)
            )
        if not content:
            break
    return content


def _places(value):
    """Every (container, key) in nested lists and mappings."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


def outcome(path: Path) -> str:
    """``loads`` if trials can be drawn and typed, ``refused`` if the file is named in one line."""
    try:
        sweep = load_sweep(path)
    except FacecloakError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return "refused"
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    sweep.command(sweep.values(study.ask(sweep.space).params))
    return "loads"


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Optuna, on lists as values
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_changed_sweep_file_loads_or_is_refused(path, tmp_path):
    content, draw, found = yaml.safe_load(path.read_text()), random.Random(path.stem), []
    for number in range(60):
        changed = tmp_path / f"{number}.yaml"
        changed.write_text(yaml.safe_dump(mutate(content, draw), allow_unicode=True))
        found.append(outcome(changed))
    assert {"loads", "refused"} == set(found)
