"""The method gives the same results as the plain implementation, which does all the work that the method omits."""

import pytest
import torch

from tests.facecloak.cloak.small import BOXES, batch_of, make_method, photos
from tests.reference import cloak as reference
from tests.reference.models import random_models


def assert_equal_to_reference(models, goal="impersonation", timesteps="code", reduction="sum", **weights):
    images = photos(1)
    case = reference.Case(
        images, BOXES[0], photos(1, seed=99), None, goal, timesteps, reduction,
        embedding_iterations=3, iterations=3, **weights,
    )  # fmt: skip
    expected = reference.protect(models, case)
    method = make_method(
        models, goal, embedding_iterations=3, iterations=3, timesteps=timesteps, reduction=reduction, **weights
    )
    protected = method.predict_step(batch_of(images))
    assert protected.errors == [None]
    torch.testing.assert_close(protected.images, expected.image, rtol=0, atol=1e-9)
    assert (protected.images - images).abs().max() > 0.1
    for name, curve in expected.curves.items():
        assert [row[0] for row in protected.history[name]] == pytest.approx(curve, rel=1e-9, abs=1e-14), name


@pytest.mark.parametrize(
    ("goal", "timesteps", "reduction"),
    [
        ("impersonation", "code", "sum"),
        ("impersonation", "aligned", "mean"),
        ("obfuscation", "code", "mean"),
        ("obfuscation", "aligned", "sum"),
    ],
)
def test_every_variant(models, goal, timesteps, reduction):
    """Each value with each value of the others; the three settings are read in different places."""
    assert_equal_to_reference(models, goal, timesteps, reduction)


def test_tiny_autoencoder():
    assert_equal_to_reference(random_models("test", tiny_vae=True), "obfuscation")


def test_other_weights_of_the_losses(models):
    assert_equal_to_reference(models, lambda_adv=0.7, lambda_attn=0.01)


def test_passes_are_counted_and_none_is_wasted(models):
    protected = make_method(models, embedding_iterations=4, iterations=5).predict_step(batch_of(photos(2)))
    inversion, embeddings, source, loop, final = 3, 3 * (4 + 1), 3, 5 * 3, 3
    assert protected.unet_passes == inversion + embeddings + source + loop + final


def test_presets_are_the_papers_and_the_codes():
    from facecloak.cloak.method import FaceCloak
    from facecloak.cloak.settings import CloakSettings

    code, paper = (CloakSettings(**FaceCloak.presets[name]) for name in ("code", "paper"))
    assert (code.iterations, code.reduction, code.lambda_adv, code.lambda_attn) == (30, "sum", 0.003, 1.0)
    assert (paper.iterations, paper.reduction) == (35, "mean")
    assert (code.steps, code.start_step, code.embedding_iterations, code.embedding_lr, code.lr) == (
        20,
        17,
        20,
        0.1,
        0.01,
    )
