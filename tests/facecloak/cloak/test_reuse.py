"""Inversion and embeddings of a photo are made once and used for every target and set of surrogates."""

import pytest
import torch

from facecloak.cloak import method as module
from tests.facecloak.cloak.small import batch_of, make_method, make_objective, photos


def test_the_next_attack_on_a_photo_reuses_its_start_and_comes_to_the_same(models, monkeypatch):
    runs, original = [], module.learn_embeddings
    monkeypatch.setattr(module, "learn_embeddings", lambda *a: runs.append(1) or original(*a))
    method, images = make_method(models), photos(2)
    first = method.predict_step(batch_of(images))
    method.objective = make_objective(models, "obfuscation")
    second = method.predict_step(batch_of(images))
    assert len(runs) == 1
    fresh = make_method(models, goal="obfuscation").predict_step(batch_of(images))
    assert len(runs) == 2
    assert torch.equal(second.images, fresh.images)
    assert second.history == fresh.history
    assert not torch.equal(first.images, second.images)


def test_what_is_reused_is_part_of_the_cost(models, monkeypatch):
    clock = iter([0, 1, 8, 10, 10, 13])  # per call: begin; begin and end of the start; end. The second has no start
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    method, images = make_method(models), photos(1)
    first, second = (method.predict_step(batch_of(images)) for _ in range(2))
    assert (first.seconds, first.seconds_reused) == (10, 0)
    assert (second.seconds, second.seconds_reused) == (3 + 7, 7)
    assert first.unet_passes == second.unet_passes == 3 + 3 * 3 + 3 + 3 * 3 + 3


@pytest.mark.parametrize("change", ["pixel", "seed"])
def test_another_photo_or_seed_reuses_nothing(models, change):
    images = photos(1)
    method = make_method(models)
    method.predict_step(batch_of(images))
    if change == "pixel":
        images = images.clone()
        images[0, 0, 3, 3] += 1 / 255
    else:
        method = make_method(models, seed=1)
    assert method.predict_step(batch_of(images)).seconds_reused == 0
