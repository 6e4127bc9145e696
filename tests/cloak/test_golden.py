"""What the released code computed, in float64, on a random model of Stable Diffusion 2's form."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file

from facecloak.cloak.backbone import Backbone
from facecloak.cloak.embeddings import learn_embeddings
from facecloak.cloak.inversion import invert
from facecloak.cloak.method import CloakSettings, FaceCloak
from facecloak.faces import whole_image
from facecloak.method import Batch
from facecloak.objectives import Objective
from tests.reference import cloak as reference
from tests.reference.models import STAND_INS, Models, StandIn, surrogates


def load_models(folder) -> Models:
    weights, recognizers = load_file(folder / "surrogates.safetensors"), []
    for name, (channels, size) in STAND_INS.items():
        network = StandIn(channels)
        network.load_state_dict({k.removeprefix(name + "."): v for k, v in weights.items() if k.startswith(name + ".")})
        recognizers.append((network.double().eval(), size))
    unet = UNet2DConditionModel.from_pretrained(folder / "tiny_sd/unet").double().requires_grad_(False)
    vae = AutoencoderKL.from_pretrained(folder / "tiny_sd/vae").double().requires_grad_(False)
    scheduler = DDIMScheduler.from_pretrained(folder / "tiny_sd/scheduler")
    null_embedding = torch.from_numpy(np.load(folder / "tiny_sd/uncond.npy")).double()
    return Models(unet, vae, scheduler, null_embedding, recognizers)


def load_case(folder, goal):
    arrays = np.load(folder / f"cloak_{goal}.npz")
    return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def assert_near(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def assert_same_picture(image, expected):
    """8-bit pixels, truncated as the released code does."""
    pixels = ((image[0].permute(1, 2, 0) / 2 + 0.5) * 255).numpy().astype(np.uint8).astype(int)
    difference = np.abs(pixels - expected.numpy().astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-4


@pytest.mark.parametrize("goal", ["impersonation", "obfuscation"])
def test_the_method_computes_what_the_released_code_does(golden, goal):
    models, expected = load_models(golden), load_case(golden, goal)
    image, target = expected["image"], expected["target"]
    boxes = expected["box"][None] if goal == "impersonation" else whole_image(image)
    objective = Objective(goal, surrogates(models), target, whole_image(target))
    backbone = Backbone(models.unet, models.vae, models.scheduler, models.null_embedding)
    method = FaceCloak(CloakSettings(iterations=6, embedding_iterations=6), objective, backbone)

    trajectory = invert(backbone, expected["z0"], method.schedule)
    assert_near(torch.stack(trajectory), expected["inversion"])
    embeddings = learn_embeddings(backbone, trajectory, method.schedule, 6, 0.1, method.on_progress)
    assert_near(torch.cat(embeddings), expected["embeddings"])
    z, history = method.optimise_latent(Batch(["photo"], image, boxes), trajectory[-1], embeddings)
    for curve, name in (("adv", "adv_loss"), ("attn", "attn_loss"), ("loss", "loss")):
        assert_near(torch.tensor(history[curve], dtype=torch.float64)[:, 0], expected[name].double())
    with torch.no_grad():
        latent = method.generate(z, embeddings)
        assert_near(latent, expected["latent"])
        assert_same_picture(backbone.decode(latent).clamp(-1, 1), expected["image8"])


@pytest.mark.slow
@pytest.mark.parametrize("goal", ["impersonation", "obfuscation"])
def test_the_reference_computes_what_the_released_code_does(golden, goal):
    expected = load_case(golden, goal)
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


def test_the_same_photo_encodes_to_z0_up_to_its_noise(golden):
    models, expected = load_models(golden), load_case(golden, "impersonation")
    backbone = Backbone(models.unet, models.vae, models.scheduler, models.null_embedding)
    with torch.no_grad():
        posterior = models.vae.encode(expected["image"]).latent_dist
    noise = (expected["z0"] / 0.18215 - posterior.mean) / posterior.std
    ours = (backbone.encode(expected["image"], 8888) / 0.18215 - posterior.mean) / posterior.std
    assert abs(noise.std() - 1) < 0.1
    assert abs(ours.std() - 1) < 0.1
