"""The adversarial terms, computed by hand, on small stand-in recognizers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facecloak.objectives import Objective
from facecloak.recognizers.base import Recognizer


def recognizer(seed: int, size: int) -> Recognizer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.LazyLinear(6))
        network(torch.randn(5, 3, size, size))  # fills the lazy layer and the running statistics
    return Recognizer(network, f"toy{seed}", size, None)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).clamp(-1, 1)


@pytest.fixture
def surrogates():
    return [recognizer(1, 8), recognizer(2, 12)]


BOXES = torch.tensor([[2.0, 3, 18, 19], [0, 0, 20, 20]])
TARGET_BOX = torch.tensor([[5.0, 5, 15, 17]])


def by_hand(surrogate, image, box):
    """Slice, resize, network, unit length, one image at a time."""
    x0, y0, x1, y1 = box.int().tolist()
    size = (surrogate.input_size, surrogate.input_size)
    face = F.interpolate(image[None, :, y0:y1, x0:x1], size, mode="bilinear", align_corners=False)
    embedding = surrogate.network.eval()(face)[0]
    return embedding / embedding.norm()


@pytest.mark.parametrize("goal", ["impersonation", "obfuscation"])
def test_the_terms_equal_the_computation_by_hand(surrogates, goal):
    target, sources, attacked = randn(1, 3, 20, 20), randn(2, 3, 20, 20, seed=1), randn(2, 3, 20, 20, seed=2)
    objective = Objective(goal, surrogates, target, TARGET_BOX)
    terms = objective(attacked, BOXES, objective.embed(sources, BOXES))
    assert terms.shape == (2, 2)
    for image in range(2):
        for index, surrogate in enumerate(surrogates):
            now = by_hand(surrogate, attacked[image], BOXES[image])
            expected = 1 - now @ by_hand(surrogate, target[0], TARGET_BOX[0])
            if goal == "obfuscation":
                expected = expected - (1 - now @ by_hand(surrogate, sources[image], BOXES[image]))
            assert terms[image, index].item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_target_itself_has_no_loss_under_impersonation(surrogates):
    target = randn(1, 3, 20, 20)
    objective = Objective("impersonation", surrogates, target, TARGET_BOX)
    assert objective(target, TARGET_BOX, []).abs().max() < 1e-6


@pytest.mark.parametrize("goal", ["impersonation", "obfuscation"])
def test_descending_the_gradient_moves_the_cosines_where_the_goal_wants_them(surrogates, goal):
    target, sources = randn(1, 3, 20, 20), randn(2, 3, 20, 20, seed=1)
    objective = Objective(goal, surrogates, target, TARGET_BOX)
    source, goals = objective.embed(sources, BOXES), objective.embed(target, TARGET_BOX)
    attacked = sources.clone().requires_grad_()
    for _ in range(20):
        (gradient,) = torch.autograd.grad(objective(attacked, BOXES, source).sum(), attacked)
        attacked = (attacked - 0.02 * gradient.sign()).detach().requires_grad_()
    for before, after, wanted in zip(source, objective.embed(attacked, BOXES), goals, strict=True):
        assert (after @ wanted[0] > before @ wanted[0] + 0.05).all()
        if goal == "obfuscation":
            assert ((after * before).sum(1) < 0.95).all()


def test_no_pixel_outside_of_the_face_box_has_a_gradient(surrogates):
    attacked = randn(2, 3, 20, 20).requires_grad_()
    objective = Objective("impersonation", surrogates, randn(1, 3, 20, 20, seed=3), TARGET_BOX)
    objective(attacked, BOXES, []).sum().backward()
    assert attacked.grad[0, :, 3:19, 2:18].abs().sum() > 0
    attacked.grad[0, :, 3:19, 2:18] = 0
    assert attacked.grad[0].abs().sum() == 0


def test_each_images_terms_do_not_depend_on_the_others(surrogates):
    sources, attacked = randn(2, 3, 20, 20, seed=1), randn(2, 3, 20, 20, seed=2)
    objective = Objective("obfuscation", surrogates, randn(1, 3, 20, 20), TARGET_BOX)
    together = objective(attacked, BOXES, objective.embed(sources, BOXES))
    for index in range(2):
        one = slice(index, index + 1)
        alone = objective(attacked[one], BOXES[one], objective.embed(sources[one], BOXES[one]))
        torch.testing.assert_close(together[one], alone)


def test_surrogates_are_frozen_and_stay_in_eval_mode(surrogates):
    objective = Objective("impersonation", surrogates, randn(1, 3, 20, 20), TARGET_BOX).train()
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    objective(randn(2, 3, 20, 20).requires_grad_(), BOXES, []).sum().backward()
    assert not any(parameter.requires_grad for parameter in objective.parameters())
    assert not any(module.training for surrogate in objective.surrogates for module in surrogate.modules())
    assert all(torch.equal(before[name], value) for name, value in objective.state_dict().items())


def test_the_targets_embeddings_hold_no_graph_and_are_in_no_checkpoint(surrogates):
    target = randn(1, 3, 20, 20).requires_grad_()
    objective = Objective("impersonation", surrogates, target, TARGET_BOX)
    assert not objective.target_0.requires_grad and not objective.target_1.requires_grad
    assert not any(name.startswith("target_") for name in objective.state_dict())
