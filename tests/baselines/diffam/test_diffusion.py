"""Inversion and generation in pixels, against diffusers' own schedulers."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMInverseScheduler, DDPMPipeline, DDPMScheduler

from baselines.diffam.diffusion import PixelDiffusion
from facecloak.errors import FacecloakError
from tests.baselines.diffam.small import SIDE, diffusion, photos, scheduler, unet


def noise_of(model: PixelDiffusion, x: torch.Tensor, level: int) -> torch.Tensor:
    """The output of the network of a model with fold 1, 2 or 4 (noise or v), folded place by place."""
    fold, n = model.fold, len(x)
    small = SIDE // fold
    folded = x.view(n, 3, small, fold, small, fold).permute(0, 1, 3, 5, 2, 4).reshape(n, -1, small, small)
    noise = model.unet(folded, level).sample.view(n, 3, fold, fold, small, small)
    return noise.permute(0, 1, 4, 2, 5, 3).reshape(x.shape)


PREDICTIONS = pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])


@pytest.mark.parametrize("fold", [1, 2, 4])
@PREDICTIONS
@torch.no_grad()
def test_generation_is_diffusers_ddim(fold, prediction):
    model = diffusion(fold, prediction_type=prediction)
    reference, x = scheduler(prediction_type=prediction), photos(2)
    assert model.fold == fold
    reference.set_timesteps(20)  # a stride of 50, to a last step without noise
    expected = x
    for level in (300, 250, 200, 150, 100, 50, 0):
        expected = reference.step(noise_of(model, expected, level), level, expected).prev_sample
    torch.testing.assert_close(model.generate(x, t0=300, steps=7), expected, rtol=1e-5, atol=1e-6)
    assert model.passes == 7


@pytest.mark.parametrize("fold", [1, 4])
@PREDICTIONS
@torch.no_grad()
def test_inversion_is_diffusers_inverse_ddim(fold, prediction):
    model = diffusion(fold, prediction_type=prediction)
    reference, x = DDIMInverseScheduler.from_config(scheduler(prediction_type=prediction).config), photos(2)
    reference.set_timesteps(20)
    expected = x
    for level in (0, 50, 100, 150, 200, 250):
        # diffusers names the step by the level that it goes to
        expected = reference.step(noise_of(model, expected, level), level + 50, expected).prev_sample
    torch.testing.assert_close(model.invert(x, t0=300, steps=7), expected, rtol=1e-5, atol=1e-6)
    assert model.passes == 6


@PREDICTIONS
@torch.no_grad()
def test_one_step_is_the_image_that_the_model_predicts(prediction):
    model = diffusion(4, prediction_type=prediction)
    reference, x = scheduler(prediction_type=prediction), photos(2)
    reference.set_timesteps(20)
    expected = reference.step(noise_of(model, x, 300), 300, x).pred_original_sample
    torch.testing.assert_close(model.generate(x, t0=300, steps=1), expected, rtol=1e-5, atol=1e-6)
    assert model.passes == 1
    with pytest.raises(FacecloakError, match="at least 2 steps"):
        model.invert(x, t0=300, steps=1)


def test_levels_are_the_released_codes():
    model = diffusion()
    assert model.levels(300, 6) == [0, 60, 120, 180, 240, 300]
    assert model.levels(60, 20) == [int(60 * index / 19) for index in range(20)]
    assert all(low < high for low, high in itertools.pairwise(model.levels(39, 40)))
    assert model.levels(999, 2) == [0, 999]
    assert model.levels(60, 1) == [60]


@pytest.mark.parametrize("t0, steps", [(1000, 6), (1000, 1), (300, 0), (4, 6), (0, 1), (-1, 2)])
def test_levels_that_the_model_does_not_have_are_refused(t0, steps):
    with pytest.raises(FacecloakError, match="1000 timesteps"):
        diffusion().levels(t0, steps)


@torch.no_grad()
def test_the_way_up_and_back_returns_to_the_image_the_closer_the_more_steps():
    model, x = diffusion(fold=2), photos(2)
    errors = [(model.generate(model.invert(x, 60, steps), 60, steps) - x).abs().mean() for steps in (4, 16, 61)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02 < (model.invert(x, 60, 61) - x).abs().mean()


@torch.no_grad()
def test_inversion_with_the_true_noise_gives_the_noisy_image_exactly():
    model, x, noise = diffusion(), photos(2), torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64)
    model.predict_noise = lambda z, level: noise
    start = scheduler().add_noise(x, noise, torch.tensor([0, 0]))
    expected = scheduler().add_noise(x, noise, torch.tensor([300, 300]))
    torch.testing.assert_close(model.invert(start, 300, 40), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.generate(expected, 300, 6), x, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_an_image_does_not_depend_on_its_batch():
    model, x = diffusion(fold=4), photos(3)
    together = model.generate(model.invert(x, 60, 5), 60, 3)
    alone = torch.cat([model.generate(model.invert(image, 60, 5), 60, 3) for image in x.split(1)])
    torch.testing.assert_close(together, alone)


def test_generation_has_gradients_with_and_without_checkpointing_and_inversion_has_none():
    model, gradients = diffusion(fold=2), []
    latent = model.invert(photos(2), 60, 4)
    assert not latent.requires_grad
    for checkpointing in (False, True):
        model.generate(latent, 60, 3, checkpointing).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
        model.zero_grad()
    assert all(gradient.abs().sum() > 0 for gradient in gradients[0] if gradient.ndim > 1)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("fold", [1, 4])
@torch.no_grad()
def test_a_saved_pipeline_is_loaded_in_float32(tmp_path, fold):
    network = unet(fold).half()
    DDPMPipeline(network, DDPMScheduler(num_train_timesteps=500)).save_pretrained(tmp_path)
    model, x = PixelDiffusion.load(str(tmp_path)), photos(1).float()
    assert model.unet.dtype == torch.float32 and len(model.alphas) == 500
    expected = F.pixel_shuffle(network.float()(F.pixel_unshuffle(x, fold), 7).sample, fold)
    torch.testing.assert_close(model.predict_noise(x, 7), expected)


def test_a_hub_repository_of_googles_flat_layout_is_loaded(tmp_path):
    DDPMPipeline(unet(), scheduler()).save_pretrained(tmp_path)
    for folder in ("unet", "scheduler"):
        for file in (tmp_path / folder).iterdir():
            file.rename(tmp_path / file.name)
        (tmp_path / folder).rmdir()
    assert PixelDiffusion.load(str(tmp_path)).side == SIDE


def test_what_is_no_such_model_is_refused(tmp_path):
    with pytest.raises(FacecloakError, match="no such folder"):
        PixelDiffusion.load(str(tmp_path / "nothing"))
    with pytest.raises(FacecloakError, match="DDPMPipeline folder"):
        PixelDiffusion.load(str(tmp_path))
    with pytest.raises(FacecloakError, match="'sample'"):
        PixelDiffusion(unet(), scheduler(prediction_type="sample"))
    with pytest.raises(FacecloakError, match="3 channels to 6"):
        PixelDiffusion(unet(out_channels=6), scheduler())
    with pytest.raises(FacecloakError, match="16×16 pixels, got 32×32"):
        diffusion().invert(photos(1, side=32), 60, 4)
