"""adv_diffusion: equal to a plain reference, and what it must keep to."""

import json

import pytest
import torch
from diffusers import UNet2DConditionModel

from baselines.common.randomness import generators
from baselines.diffusion.adv_diffusion import AdvDiffusion, AdvDiffusionSettings, ellipses
from facecloak.cloak.backbone import Backbone
from facecloak.errors import FacecloakError
from tests.facecloak.cloak.pipeline import save_pipeline
from tests.facecloak.cloak.small import BOXES, batch_of, make_objective, photos
from tests.reference import adv_diffusion as reference
from tests.reference.models import random_models


@pytest.fixture
def models():
    return random_models("test")


@pytest.fixture
def inpainting(models):
    """The same models with a UNet that is given mask and masked photo: 4 + 1 + 4 channels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        unet = UNet2DConditionModel.from_config(models.unet.config, in_channels=9)
    models.unet = unet.requires_grad_(False).eval().double()
    return models


def make_adv(models, goal="impersonation", **settings):
    backbone = Backbone(models.unet, models.vae, models.scheduler, models.null_embedding)
    return AdvDiffusion(AdvDiffusionSettings(**settings), make_objective(models, goal), backbone)


def latents_of(method, batch):
    """The result, and the latents after each step."""
    seen, step, where = [], method.step, torch.where

    def recorded(*arguments):
        z = where(*arguments)
        seen.append(z)
        return z

    if method.settings.inpainting == "blend":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "where", recorded)
            return method.predict_step(batch), seen
    method.step = lambda *arguments: seen.append(step(*arguments)) or seen[-1]
    return method.predict_step(batch), seen


@pytest.mark.parametrize(("goal", "mode", "scale", "face"), [
    ("impersonation", "blend", 300.0, 0.8), ("obfuscation", "blend", 20.0, 1.0),
    ("impersonation", "unet", 300.0, 0.8),
])  # fmt: skip
def test_a_batch_equals_a_plain_reference_step_by_step(request, goal, mode, scale, face):
    models = request.getfixturevalue("inpainting" if mode == "unet" else "models")
    batch = batch_of(photos(2))
    method = make_adv(models, goal, inpainting=mode, steps=4, scale=scale, face=face, seed=3)
    made, latents = latents_of(method, batch)
    assert made.errors == [None] * 2 and made.unet_passes == 4 and len(latents) == 4
    for index, (photo, random) in enumerate(zip(batch.images.split(1), generators(3, batch.ids), strict=True)):
        case = reference.Case(
            photo, BOXES[index], photos(1, seed=99), goal, 4, scale, face, 3, random, conditioned=mode == "unet"
        )
        image, scores, expected = reference.protect(models, case)
        for ours, theirs in zip(latents, expected, strict=True):
            torch.testing.assert_close(ours[index : index + 1], theirs, rtol=0, atol=1e-6)
        torch.testing.assert_close(made.images[index : index + 1], image, rtol=0, atol=1e-6)
        shift = 0 if goal == "obfuscation" else 1
        assert [shift - row[index] for row in made.history["adv"]] == pytest.approx(scores, abs=1e-6)
    assert float((made.images - batch.images).abs().max()) > 0.1


def test_the_published_timesteps(models):
    steps = make_adv(models).timesteps()
    assert steps[:2] == [(991, 969), (969, 947)] and steps[-2:] == [(23, 1), (1, -21)] and len(steps) == 46
    for count in (2, 3, 10, 500):
        steps = make_adv(models, steps=count).timesteps()
        assert len(steps) == count and steps[0][0] <= 999 and steps[-1][0] == 1


def test_the_face_is_the_photos_as_the_autoencoder_shows_it(models):
    batch = batch_of(photos(2))
    _, latents = latents_of(make_adv(models, steps=3, face=0.7), batch)
    clean = Backbone(models.unet, models.vae, models.scheduler, models.null_embedding).encode(batch.images, 0)
    kept = ellipses(batch.boxes, 0.7, batch.images.shape[2:], clean.shape[2:]).expand_as(clean)
    assert 0 < kept.sum() < kept.numel()
    assert torch.equal(latents[-1][kept], clean[kept])
    assert not torch.isclose(latents[-1][~kept], clean[~kept]).any()


def test_the_gradient_leads_to_the_target(models):
    batch = batch_of(photos(2))
    ends = []
    for scale in (0.0, 2000.0):
        method = make_adv(models, steps=5, scale=scale, face=0.3)
        images = method.predict_step(batch).images
        with torch.no_grad():
            source = method.objective.embed(batch.images, batch.boxes)
            ends.append(method.objective(images, batch.boxes, source).mean(1))
    assert (ends[1] < ends[0]).all()


def test_ellipses_keep_the_middle_of_boxes_and_of_turned_squares():
    size, turned = torch.Size([64, 64]), torch.tensor([[10.0, 20, 42, 52, 0.5]])
    circle = ellipses(turned, 1.0, size, size)
    assert circle.shape == (1, 1, 64, 64) and torch.equal(circle, ellipses(turned[:, :4], 1.0, size, size))
    assert circle[0, 0, 35, 11] and circle[0, 0, 35, 40] and not circle[0, 0, 21, 11] and not circle[0, 0, 35, 9]
    assert int(ellipses(turned, 0.5, size, size).sum()) == pytest.approx(int(circle.sum()) / 4, rel=0.05)


@pytest.mark.parametrize(("mode", "other"), [("unet", "models"), ("blend", "inpainting")])
def test_a_model_that_cannot_inpaint_in_this_way_is_refused(request, mode, other):
    with pytest.raises(FacecloakError, match=f"cannot inpaint by '{mode}'"):
        make_adv(request.getfixturevalue(other), inpainting=mode)


def test_a_folder_of_an_inpainting_pipeline_is_loaded(tmp_path):
    """As the hub has Stable Diffusion 2's: another pipeline's name, and a UNet of 9 channels."""
    folder = tmp_path / "model"
    models, _ = save_pipeline(folder)
    UNet2DConditionModel.from_config(models.unet.config, in_channels=9).save_pretrained(folder / "unet")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionInpaintPipeline"}))
    settings = {"backbone": str(folder), "steps": 2}
    with pytest.raises(FacecloakError, match="set 'inpainting' to 'unet'"):
        AdvDiffusion(AdvDiffusionSettings(**settings), make_objective(models, "impersonation"))
    method = AdvDiffusion(AdvDiffusionSettings(**settings, inpainting="unet"), make_objective(models, "impersonation"))
    assert method.predict_step(batch_of(photos(1).float())).images.isfinite().all()


@pytest.mark.parametrize(("settings", "message"), [
    ({"face": 0.0}, "face must be"), ({"face": 1.5}, "face must be"), ({"steps": 1}, "steps must be"),
    ({"steps": 501}, "steps must be"), ({"scale": -1.0}, "scale must be"),
])  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(FacecloakError, match=message):
        AdvDiffusionSettings(**settings)
