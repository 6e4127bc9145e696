"""TIP-IM against plain references: MMD, gains, and the greedy choice by brute force."""

import math

import pytest
import torch

from baselines.common.randomness import generators
from baselines.noise.mmd import BANDWIDTHS, mmd
from baselines.noise.tip_im import draw_maps, gain_of, warp
from tests.baselines.noise.small import batch_of, make_method, photos


def slow_kernel(a, b):
    return sum(math.exp(-sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / (2 * s)) for s in BANDWIDTHS)


def slow_mmd(x, y):
    def mean(left, right):
        return sum(slow_kernel(a, b) for a in left for b in right) / (len(left) * len(right))

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


@pytest.mark.parametrize("scale", [0.01, 1.0, 40.0])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 4)])
def test_mmd_equals_a_double_loop(n, m, scale):
    x, y = (scale * torch.randn(2, count, 5, dtype=torch.float64) for count in (n, m))
    found = mmd(x, y)
    assert found.tolist() == pytest.approx([slow_mmd(x[i].tolist(), y[i].tolist()) for i in range(2)], abs=1e-9)
    assert len(BANDWIDTHS) == 19 and min(BANDWIDTHS) == 1e-6 and max(BANDWIDTHS) == 1e6
    assert torch.equal(mmd(x, x), torch.zeros(2, dtype=x.dtype))


def slow_gain(kind, to_source, to_targets):
    pick = {"gain1": sum, "gain2": min, "gain3": max}[kind]
    return math.log(1 + pick(math.exp(to_source - distance) for distance in to_targets))


@pytest.mark.parametrize("kind", ["gain1", "gain2", "gain3"])
def test_gains_equal_the_formula(kind):
    to_source, to_targets = torch.rand(4, dtype=torch.float64) * 2, torch.rand(4, 3, dtype=torch.float64) * 2
    expected = [slow_gain(kind, a, b) for a, b in zip(to_source.tolist(), to_targets.tolist(), strict=True)]
    assert gain_of(kind, to_source, to_targets).tolist() == pytest.approx(expected)


def brute_force(method, image, box, name) -> tuple[torch.Tensor, list[int]]:
    """One photo in grey levels, one target after the other, every candidate embedded separately."""
    settings, objective = method.settings, method.objective
    source = (image + 1) * 127.5
    own = objective.embed(image[None], box[None])
    current, momentum, chosen = source.clone(), torch.zeros_like(source), []
    (random,) = generators(settings.seed, [name])
    alpha = 1.5 * settings.epsilon / settings.iterations
    for _ in range(settings.iterations):
        maps = draw_maps([random], settings.diversity)
        best = None
        for j in range(len(objective.targets[0])):
            x = current.clone().requires_grad_()
            loss = 0
            now = objective.embed((x / 127.5 - 1)[None], box[None], lambda faces, maps=maps: warp(faces, maps))
            for f, f_src, f_t in zip(now, own, objective.targets, strict=True):
                loss = loss + (((f[0] - f_t[j]) ** 2).mean() - ((f[0] - f_src[0]) ** 2).mean()) / len(now)
            squares = ((x - source) ** 2).sum()
            loss = loss + settings.gamma * 2 * sum(1 - torch.exp(-squares / (2 * s)) for s in BANDWIDTHS)
            (gradient,) = torch.autograd.grad(loss, x)
            candidate_momentum = settings.momentum * momentum + gradient / gradient.abs().mean()
            if settings.norm == "linf":
                step = alpha * candidate_momentum.sign()
            else:
                step = alpha * math.sqrt(source.numel()) * candidate_momentum / candidate_momentum.norm()
            candidate = torch.min(torch.max(current - step, source - settings.epsilon), source + settings.epsilon)
            candidate = candidate.clamp(0, 255)
            gain = 0
            for f, f_src, f_t in zip(
                objective.embed((candidate / 127.5 - 1)[None], box[None]), own, objective.targets, strict=True
            ):
                distances = [(f[0] - t).norm().item() for t in f_t]
                gain += slow_gain(settings.gain, (f[0] - f_src[0]).norm().item(), distances) / len(now)
            if best is None or gain > best[0]:
                best = (gain, j, candidate, candidate_momentum)
        _, j, current, momentum = best
        chosen.append(j)
    return current / 127.5 - 1, chosen


@pytest.mark.parametrize("gain", ["gain1", "gain2", "gain3"])
@pytest.mark.parametrize(("norm", "gamma"), [("l2", 0.0), ("linf", 0.0), ("l2", 0.001)])
def test_the_greedy_choice_equals_brute_force(norm, gamma, gain):
    method = make_method("tip_im", count=3, targets="set", iterations=5, norm=norm, gamma=gamma, gain=gain)
    batch = batch_of(photos(4))
    made, everything = method.predict_step(batch).images, set()
    for image, box, name, result in zip(batch.images, batch.boxes, batch.ids, made, strict=True):
        expected, chosen = brute_force(method, image, box, name)
        everything |= set(chosen)
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-9)
    assert len(everything) > 1, "one target for all would not tell a choice from none"


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_with_one_target_it_is_the_attack_on_that_target(norm, monkeypatch):
    method, batch = make_method("tip_im", norm=norm), batch_of(photos(2))
    monkeypatch.setattr(method, "gains", None)  # nothing to choose: no candidate is embedded
    made = method.predict_step(batch).images
    for image, box, name, result in zip(batch.images, batch.boxes, batch.ids, made, strict=True):
        expected, chosen = brute_force(method, image, box, name)
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-9)
        assert set(chosen) == {0}


def test_the_sources_are_embedded_once_and_targets_never():
    method, batch = make_method("tip_im", count=3, targets="set", iterations=4), batch_of(photos(2))
    sizes = []
    method.objective.surrogates[0].register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    method.predict_step(batch)
    assert sizes == [2, *[2, 6] * 4]  # the sources; then, in each iteration, the images and three candidates of each


def test_a_larger_gamma_stays_nearer_to_the_source():
    batch = batch_of(photos(3))

    def distance(gamma):
        made = make_method("tip_im", iterations=20, gamma=gamma).predict_step(batch).images
        return (made - batch.images).square().mean().item()

    assert distance(0.0) > 1.05 * distance(0.01) > 10 * distance(0.1)
