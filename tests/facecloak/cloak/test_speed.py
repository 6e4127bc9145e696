"""The speed comparison compares equal work and reports it if the work is not equal; no time is tested."""

import sys

import pytest
import torch

from benchmarks.studies import reference_speed as speed
from facecloak.cloak.structure import AttentionWithMapLoss
from facecloak.errors import FacecloakError
from tests.reference.prepare import prepare
from tests.reference.side_by_side import compare, differences


@pytest.fixture
def small():
    models, case = prepare("test", golden=False, dtype=torch.float64, side=64)
    case.iterations = 2
    return models, case


def test_both_sides_compute_the_same(small):
    sides = compare(*small, repetitions=2, quiet=True)
    found = differences(sides)
    assert found["gradient"] < 1e-9
    assert found["latent"] < 1e-9
    assert sides["method"].gradient.abs().max() > 0
    assert all(len(numbers) == 2 for side in sides.values() for numbers in side.seconds.values())
    assert speed.table(sides, found, "small").row_count >= 5


def test_no_ratio_without_equality(small, monkeypatch):
    apply = AttentionWithMapLoss.apply

    def a_little_off(*args):
        output, loss = apply(*args)
        return output * 1.0001, loss

    monkeypatch.setattr(AttentionWithMapLoss, "apply", a_little_off)
    with pytest.raises(FacecloakError, match="cannot be compared"):
        compare(*small, repetitions=1, quiet=True)


def test_outside_of_a_clone_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tests.reference.prepare", None)
    assert speed.main([]) == 2
    assert "clone" in capsys.readouterr().err
