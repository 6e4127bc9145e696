"""A UNet pass in two halves: down to the middle block's features (h-space), and from there up to the noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facecloak.cloak.backbone import Backbone
from facecloak.errors import FacecloakError

# what a UNet may have beside blocks, timestep and text, as names of its configuration
EXTRAS = ("addition_embed_type", "center_input_sample", "class_embed_type", "encoder_hid_dim_type", "num_class_embeds",
          "time_embedding_act_fn")  # fmt: skip


@dataclass(frozen=True)
class Middle:
    """What the way down hands on, in the UNet's precision.

    Attributes:
        features: of the middle block, B×C×h×w.
        skips: those that the up blocks take besides, from the highest resolution to the lowest.
        time: B×d, embedding of the timestep.
        embedding: B×L×d condition.
        dtype: of the latents.
    """

    features: Tensor
    skips: tuple[Tensor, ...]
    time: Tensor
    embedding: Tensor
    dtype: torch.dtype


def reach_middle(backbone: Backbone, z: Tensor, timestep: int, embedding: Tensor) -> Middle:
    """The first half of ``backbone.predict_noise(z, timestep, embedding)``.

    Raises:
        FacecloakError: the UNet has inputs that Stable Diffusion's has not.
    """
    unet = backbone.unet
    if extra := next((name for name in EXTRAS if unet.config.get(name)), None):
        raise FacecloakError(
            f"The diffusion model's UNet has {extra} = {unet.config[extra]!r}, and h-space is only known for UNets of "
            "Stable Diffusion's kind: give another 'backbone'."
        )
    sample, embedding = z.to(unet.dtype), embedding.to(unet.dtype)
    time = unet.time_embedding(unet.get_time_embed(sample, timestep))
    sample = unet.conv_in(sample)
    skips = (sample,)
    for block in unet.down_blocks:
        sample, outputs = block(sample, time, **_condition(block, embedding))
        skips += outputs
    features = unet.mid_block(sample, time, **_condition(unet.mid_block, embedding))
    return Middle(features, skips, time, embedding, z.dtype)


def noise_from(backbone: Backbone, middle: Middle, change: Tensor) -> Tensor:
    """The second half, after ``change`` (B×C×h×w) is added to the middle features: B×C×h×w noise.

    It is counted as a pass; the first half is not.
    """
    backbone.passes += 1
    unet, skips = backbone.unet, middle.skips
    sample = middle.features + change.to(middle.features.dtype)
    for block in unet.up_blocks:
        count = len(block.resnets)
        skips, own = skips[:-count], skips[-count:]
        size = skips[-1].shape[2:] if skips else None  # of the next block
        sample = block(sample, own, middle.time, upsample_size=size, **_condition(block, middle.embedding))
    if unet.conv_norm_out is not None:
        sample = unet.conv_act(unet.conv_norm_out(sample))
    return unet.conv_out(sample).to(middle.dtype)


def _condition(block, embedding: Tensor) -> dict[str, Tensor]:
    return {"encoder_hidden_states": embedding} if getattr(block, "has_cross_attention", False) else {}
