"""The comparison of a batch with single photos compares equal work and reports if not; no time is tested."""

import pytest
import torch

from baselines.noise.mi_fgsm import MIFGSM
from benchmarks.studies import batch_speed as batches
from tests.baselines.noise.small import batch_of, make_method, photos


def test_it_prints_a_ratio_for_each_method(toys, capsys):
    arguments = ["--suite", str(toys), "--methods", "pgd:single,tip_im:set", "--images", "5", "--repetitions", "1"]
    assert batches.main([*arguments, "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "pgd:single" in printed and "tip_im:set" in printed and "ada, bob" in printed


def test_both_sides_make_the_same_pictures():
    alone, together, different = batches.compare(make_method("mi_fgsm"), batch_of(photos(4)), repetitions=2)
    assert different == 0 and alone > 0 and together > 0


def test_no_ratio_without_equality(toys, monkeypatch, capsys):
    project = MIFGSM.project
    monkeypatch.setattr(MIFGSM, "project", lambda self, x, source: project(self, x, source) + 0.01 * len(x))
    arguments = ["--suite", str(toys), "--methods", "mi_fgsm", "--images", "3", "--repetitions", "1"]
    assert batches.main(arguments) == 2
    answer = capsys.readouterr()
    assert "cannot be compared" in answer.err and "ratio" not in answer.out


@pytest.fixture(autouse=True)
def threads():
    """Restore the number of threads, which `main` sets for its process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
