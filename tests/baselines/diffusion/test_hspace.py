"""hspace: equal to a plain reference, and what it must keep to."""

import pytest
import torch

from baselines.diffusion.hspace import HSpace, HSpaceSettings
from facecloak.cloak.backbone import Backbone
from facecloak.cloak.middle import noise_from, reach_middle
from facecloak.errors import FacecloakError
from tests.facecloak.cloak.small import BOXES, batch_of, make_method, make_objective, photos
from tests.reference import hspace as reference
from tests.reference.cloak import Case
from tests.reference.models import random_models, random_tiny_vae


@pytest.fixture
def models():
    return random_models("test")


def make_hspace(models, goal="impersonation", tiny=None, **settings):
    backbone = Backbone(models.unet, models.vae, models.scheduler, models.null_embedding, tiny)
    settings = {"embedding_iterations": 1, "iterations": 2, "lr": 0.2, **settings}
    return HSpace(HSpaceSettings(**settings), make_objective(models, goal), backbone)


@pytest.mark.parametrize(("goal", "timesteps", "reduction"), [
    ("impersonation", "code", "sum"), ("obfuscation", "aligned", "mean"),
])  # fmt: skip
def test_a_batch_equals_a_plain_reference_step_by_step(models, goal, timesteps, reduction):
    batch, weights = batch_of(photos(2)), {"lambda_adv": 0.3, "lambda_attn": 2.0}
    expected = [
        reference.protect(models, Case(
            photo, BOXES[index], photos(1, seed=99), None, goal, timesteps, reduction,
            embedding_iterations=1, iterations=2, **weights,
        ), lr=0.2)
        for index, photo in enumerate(batch.images.split(1))
    ]  # fmt: skip
    method = make_hspace(models, goal, timesteps=timesteps, reduction=reduction, **weights)
    seen, update = [], method.backbone.update

    def recorded(optimizer, variable, loss):
        update(optimizer, variable, loss)
        seen.append(variable.detach().clone())

    method.backbone.update = recorded
    made = method.predict_step(batch)
    assert made.errors == [None, None]
    seen = seen[-len(expected[0][1]) :]  # those before are embeddings
    for index, (image, values, curves) in enumerate(expected):
        for iteration, variable in enumerate(seen):
            torch.testing.assert_close(variable[:, index], torch.cat(values[iteration]), rtol=0, atol=1e-6)
        torch.testing.assert_close(made.images[index : index + 1], image, rtol=0, atol=1e-6)
        for name, curve in curves.items():
            assert [row[index] for row in made.history[name]] == pytest.approx(curve, rel=1e-6, abs=1e-12), name
    assert seen[-1].abs().min() > 1e-3  # every step has a change of its own


def test_without_a_change_the_picture_is_facecloaks_without_one(models):
    batch = batch_of(photos(2))
    idle = {"lambda_adv": 0.0, "lambda_attn": 0.0}
    made = make_hspace(random_models("test"), **idle).predict_step(batch)
    exact = make_method(models, embedding_iterations=1)
    start = exact.start(batch.images)
    with torch.no_grad():
        expected = exact.backbone.decode(exact.generate(start.z, start.embeddings)).clamp(-1, 1)
    assert torch.equal(made.images, expected)
    moved = make_hspace(random_models("test")).predict_step(batch)
    assert float((moved.images - expected).abs().max()) > 1e-3


def test_two_halves_are_a_whole_pass_on_latents_of_any_side(models):
    backbone = make_hspace(models).backbone
    for side in (8, 10, 12):
        z, embedding = torch.randn(2, 4, side, side, dtype=torch.float64), backbone.null_embedding(2)
        with torch.no_grad():
            middle = reach_middle(backbone, z, 51, embedding)
            halves = noise_from(backbone, middle, torch.zeros_like(middle.features))
            assert torch.equal(halves, backbone.predict_noise(z, 51, embedding))


def test_the_first_way_down_is_computed_once_and_every_way_up_is_counted(models):
    method, ways_down = make_hspace(models, embedding_iterations=1, iterations=3), []
    models.unet.conv_in.register_forward_hook(lambda *_: ways_down.append(torch.is_grad_enabled()))
    made = method.predict_step(batch_of(photos(2)))
    before, source, loop, final = 3 + 3 * (1 + 1), 3, 3 * 3, 3
    assert made.unet_passes == before + source + loop + final
    assert len(ways_down) == before + source + 3 * 2 + 2
    assert not any(ways_down[-8:])  # none of an iteration's is differentiated


def test_the_structure_term_keeps_the_up_blocks_attention(models):
    method = make_hspace(models)
    kept = [layer for name, layer in models.unet.attn_processors.items() if layer in method.guidance._layers]
    named = [name for name, layer in models.unet.attn_processors.items() if layer in kept]
    assert named and all(name.startswith("up_blocks") and "attn1" in name for name in named)
    free, bound = (
        make_hspace(random_models("test"), iterations=4, embedding_iterations=0, lambda_attn=weight).predict_step(
            batch_of(photos(1))
        )
        for weight in (0.0, 1e5)
    )
    assert free.history["attn"][-1] == [0.0]
    assert all(last < 0.5 * max(column) for last, column in
               zip(bound.history["attn"][-1], zip(*bound.history["attn"], strict=True), strict=True))  # fmt: skip


def test_checkpointing_and_the_tiny_decoder(models):
    batch = batch_of(photos(2))
    expected, saving = (
        make_hspace(random_models("test"), gradient_checkpointing=asked).predict_step(batch) for asked in (False, True)
    )
    torch.testing.assert_close(saving.images, expected.images, rtol=0, atol=1e-12)
    tiny = make_hspace(models, tiny=random_tiny_vae().double()).predict_step(batch)
    assert not torch.equal(tiny.images, expected.images)


def test_a_photo_that_is_no_number_is_an_error_and_leaves_the_others_alone(models):
    batch = batch_of(photos(2))
    expected = make_hspace(random_models("test")).predict_step(batch).images
    batch.images[1] = torch.nan
    made = make_hspace(models).predict_step(batch)
    assert made.errors == [None, "the loss became nan in iteration 1"]
    torch.testing.assert_close(made.images[0], expected[0], rtol=0, atol=1e-9)


def test_a_unet_with_other_inputs_is_refused(models):
    models.unet.register_to_config(addition_embed_type="text")
    with pytest.raises(FacecloakError, match="addition_embed_type"):
        make_hspace(models, embedding_iterations=0, lambda_attn=0.0).attack(
            batch_of(photos(1)), torch.zeros(1, 4, 8, 8).double(), [models.null_embedding] * 3
        )


def test_a_setting_that_makes_no_sense_is_refused():
    with pytest.raises(FacecloakError, match="hspace: lr"):
        HSpaceSettings(lr=0.0)
