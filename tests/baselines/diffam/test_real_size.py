"""DiffAM on a diffusion model of the size of google/ddpm-celebahq-256, with random weights."""

import pytest
import torch
from diffusers import DDPMPipeline, UNet2DModel

from baselines.diffam.diffusion import PixelDiffusion
from baselines.diffam.removal import MakeupRemoval, RemovalSettings
from tests.baselines.diffam.small import MeanSquare, clip, photos, scheduler
from tests.baselines.diffam.test_stages import fit
from tests.baselines.noise.small import recognizer

WIDTHS = (128, 128, 256, 256, 512, 512)


def celeba_hq_unet() -> UNet2DModel:
    """114 M parameters, configured as in the config.json of google/ddpm-celebahq-256."""
    down, up = ["DownBlock2D"] * 6, ["UpBlock2D"] * 6
    down[4], up[1] = "AttnDownBlock2D", "AttnUpBlock2D"
    return UNet2DModel(
        sample_size=256,
        down_block_types=down,
        up_block_types=up,
        block_out_channels=WIDTHS,
        attention_head_dim=None,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        mid_block_scale_factor=1,
        norm_eps=1e-6,
    )


@pytest.mark.slow
def test_a_model_of_the_real_size_is_loaded_from_its_folder_and_fitted(tmp_path):
    DDPMPipeline(celeba_hq_unet(), scheduler()).save_pretrained(tmp_path)
    diffusion = PixelDiffusion.load(str(tmp_path))
    assert 113e6 < sum(weight.numel() for weight in diffusion.parameters()) < 115e6
    images = photos(1, side=256).float()
    settings = RemovalSettings(
        inversion_steps=2, generation_steps=2, test_steps=2, passes=1, gradient_checkpointing=True
    )
    module = MakeupRemoval(
        settings, diffusion, clip().float(), MeanSquare(), recognizer(1, 12).float(), images,
        torch.tensor([[40.0, 40, 216, 230]]),
    )  # fmt: skip
    before = next(module.tuned.parameters()).clone()
    fit(module)
    assert not torch.equal(next(module.tuned.parameters()), before)
    edited = module(images)
    assert edited.shape == images.shape and edited.isfinite().all()
