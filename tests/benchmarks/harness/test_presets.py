"""A published preset has the published settings, whatever a suite sets; without a preset the suite's settings apply."""

import pytest
import yaml

from benchmarks.harness.methods import resolve_methods
from benchmarks.suites.suite import load_suite

PUBLISHED = {
    "facecloak:code": {"lr": 0.01, "iterations": 30, "lambda_attn": 1.0, "lambda_adv": 0.003, "reduction": "sum"},
    "facecloak:paper": {"lr": 0.01, "iterations": 35, "lambda_attn": 1.0, "lambda_adv": 0.003, "reduction": "mean"},
    "pgd:robfr": {"epsilon": 16, "iterations": 20, "random_start": False, "surrogates": "single"},
    "mi_fgsm:robfr": {"epsilon": 16, "iterations": 20, "momentum": 1.0, "surrogates": "single"},
    "ti_dim:robfr": {"epsilon": 16, "iterations": 20, "kernel_size": 7, "surrogates": "single"},
    "ti_dim:fdeid": {"epsilon": 16, "iterations": 20, "kernel_size": 15, "surrogates": "single"},
    "tip_im:paper": {"epsilon": 12, "iterations": 50, "norm": "l2", "diversity": 0.1, "gain": "gain3", "gamma": 0.0},
    "lowkey:published": {"iterations": 50, "step": 0.0025, "start": 0.005, "lambda_perceptual": 0.05},
    "fawkes:low": {"budget": 0.004, "iterations": 40, "lr": 25, "surrogates": "single"},
    "fawkes:mid": {"budget": 0.012, "iterations": 75, "lr": 20, "surrogates": "ensemble"},
    "fawkes:high": {"budget": 0.017, "iterations": 150, "lr": 15, "surrogates": "ensemble"},
    "opom:paper": {"epsilon": 8, "step": 1, "iterations": 16, "hull": "convex", "surrogates": "single", "dropout": 0},
    "opom:dfanet": {"epsilon": 8, "step": 1, "iterations": 100, "hull": "convex", "momentum": 1, "dropout": 0.1},
    "chameleon:paper": {"epsilon": 16, "step": 0.255, "epochs": 50, "photos": 4, "budget": 0.03, "grid": 112},
    "diffam:code": {"passes": 4, "makeup_passes": 3, "lr": 8e-6, "lambda_adv": 0.5, "rank": 0, "removal_passes": 7},
    "diffam:paper": {"passes": 6, "makeup_passes": 2, "lr": 4e-6, "lambda_adv": 1.2, "rank": 0, "images": 200},
    "tip_im:code": {"epsilon": 12, "iterations": 100, "norm": "l2", "diversity": 0.1, "gain": "gain3", "gamma": 0.0},
}


@pytest.mark.parametrize("suite", ["pocket", "celeba_hq_pairs"])
@pytest.mark.parametrize("method", PUBLISHED)
def test_no_suite_changes_what_was_published(suite, method):
    ((_, preset, _, settings),) = resolve_methods(load_suite(suite), [method])
    assert preset == method.split(":")[1]
    assert {name: getattr(settings, name) for name in PUBLISHED[method]} == PUBLISHED[method]


def test_without_a_preset_a_suite_has_the_last_word(toys):
    content = yaml.safe_load(toys.read_text())
    content["methods"] = {"mi_fgsm": {"surrogates": "single", "epsilon": 7}, "facecloak": {"lr": 0.5}}
    toys.write_text(yaml.safe_dump(content))
    (_, preset, _, noise), (_, _, _, cloak) = resolve_methods(load_suite(str(toys)), ["mi_fgsm", "facecloak"])
    assert (preset, noise.surrogates, noise.epsilon, cloak.lr) == ("default", "single", 7, 0.5)
