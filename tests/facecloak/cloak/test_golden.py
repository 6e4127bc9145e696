"""The results of the released code, in float64, on a random model of Stable Diffusion 2's form."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from facecloak.cloak.backbone import Backbone
from facecloak.cloak.embeddings import learn_embeddings
from facecloak.cloak.inversion import invert
from facecloak.cloak.method import FaceCloak
from facecloak.cloak.settings import CloakSettings
from facecloak.data import Batch
from facecloak.faces import whole_image
from facecloak.objectives import Objective
from tests.reference import cloak as reference
from tests.reference.golden import load_arrays, load_models
from tests.reference.models import surrogates


def assert_near(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def assert_same_picture(image, expected):
    """Compare 8-bit pixels, truncated as in the released code."""
    pixels = ((image[0].permute(1, 2, 0) / 2 + 0.5) * 255).numpy().astype(np.uint8).astype(int)
    difference = np.abs(pixels - expected.numpy().astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-4


def prepare(golden, goal, iterations):
    """The method, its batch of one photo, and the arrays."""
    models, expected = load_models(golden), load_arrays(golden, goal)
    image, target = expected["image"], expected["target"]
    boxes = expected["box"][None] if goal == "impersonation" else whole_image(image)
    objective = Objective(goal, surrogates(models), target, whole_image(target))
    backbone = Backbone(models.unet, models.vae, models.scheduler, models.null_embedding)
    method = FaceCloak(CloakSettings(iterations=iterations, embedding_iterations=6), objective, backbone)
    return method, Batch(["photo"], image, boxes), expected


def assert_same_curves(history, expected):
    for curve, name in (("adv", "adv_loss"), ("attn", "attn_loss"), ("loss", "loss")):
        found = torch.tensor(history[curve], dtype=torch.float64)[:, 0]
        torch.testing.assert_close(found, expected[name].double()[: len(found)], rtol=1e-4, atol=1e-9)


def test_every_stage_begins_as_in_the_released_code_and_its_latent_gives_the_same_picture(golden):
    """The embedding of one timestep, and three losses of the latent, of which the third depends on the gradients of
    both terms; that the stages go on so is tested with `-m slow`, and at a smaller size in test_against_reference."""
    method, batch, expected = prepare(golden, "impersonation", iterations=3)
    trajectory = invert(method.backbone, expected["z0"], method.schedule)
    assert_near(torch.stack(trajectory), expected["inversion"])
    first = replace(method.schedule, generation=method.schedule.generation[:1])
    (embedding,) = learn_embeddings(method.backbone, trajectory, first, 6, 0.1, method.on_progress)
    assert_near(embedding, expected["embeddings"][:1])
    _, history = method.optimise_latent(batch, trajectory[-1], [each[None] for each in expected["embeddings"]])
    assert_same_curves(history, expected)
    with torch.no_grad():
        assert_same_picture(method.backbone.decode(expected["latent"]).clamp(-1, 1), expected["image8"])


@pytest.mark.slow
@pytest.mark.parametrize("goal", ["impersonation", "obfuscation"])
def test_the_method_computes_what_the_released_code_does(golden, goal):
    method, batch, expected = prepare(golden, goal, iterations=6)
    backbone = method.backbone
    trajectory = invert(backbone, expected["z0"], method.schedule)
    assert_near(torch.stack(trajectory), expected["inversion"])
    embeddings = learn_embeddings(backbone, trajectory, method.schedule, 6, 0.1, method.on_progress)
    assert_near(torch.cat(embeddings), expected["embeddings"])
    z, history = method.optimise_latent(batch, trajectory[-1], embeddings)
    assert len(history["loss"]) == 6
    assert_same_curves(history, expected)
    with torch.no_grad():
        latent = method.generate(z, embeddings)
        assert_near(latent, expected["latent"])
        assert_same_picture(backbone.decode(latent).clamp(-1, 1), expected["image8"])


@pytest.mark.slow
@pytest.mark.parametrize("goal", ["impersonation", "obfuscation"])
def test_the_reference_computes_what_the_released_code_does(golden, goal):
    expected = load_arrays(golden, goal)
    box = expected["box"].tolist() if goal == "impersonation" else None
    case = reference.Case(
        expected["image"], box, expected["target"], goal=goal, embedding_iterations=6, iterations=6
    )  # fmt: skip
    result = reference.protect(load_models(golden), case, expected["z0"])
    assert_near(torch.stack(result.inversion[:4]), expected["inversion"])
    assert_near(torch.cat(result.embeddings), expected["embeddings"])
    assert_near(torch.tensor(result.curves["loss"], dtype=torch.float64), expected["loss"].double())
    assert_near(result.generated, expected["latent"])
    assert_same_picture(result.image, expected["image8"])


def test_a_photo_encodes_to_z0(golden):
    models, expected = load_models(golden), load_arrays(golden, "impersonation")
    backbone = Backbone(models.unet, models.vae, models.scheduler, models.null_embedding)
    assert_near(backbone.encode(expected["image"], 8888), expected["z0"])
