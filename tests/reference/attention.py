"""Eager attention that keeps its maps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class KeepMaps:
    """Eager attention in a UNet, within a ``with`` block.

    Attributes:
        taken: softmax maps of the last pass, B×heads×N×N, by the name of the self-attention layer.
    """

    def __init__(self, unet: nn.Module) -> None:
        self.unet = unet
        self.taken: dict[str, Tensor] = {}

    def __enter__(self) -> KeepMaps:
        self.before = dict(self.unet.attn_processors)
        self.unet.set_attn_processor({name: self.processor(name) for name in self.before})
        return self

    def __exit__(self, *exception: object) -> None:
        self.unet.set_attn_processor(self.before)

    def processor(self, name: str) -> Callable[..., Tensor]:
        """softmax(QKᵀ/√d)V, head by head in one batch."""

        def attend(layer, hidden_states, encoder_hidden_states=None, attention_mask=None, **ignored):
            context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
            query = split(layer.to_q(hidden_states), layer.heads)
            key = split(layer.to_k(context), layer.heads)
            value = split(layer.to_v(context), layer.heads)
            maps = torch.softmax(query @ key.transpose(2, 3) / query.shape[-1] ** 0.5, dim=-1)
            if encoder_hidden_states is None:
                self.taken[name] = maps
            output = (maps @ value).permute(0, 2, 1, 3).reshape(hidden_states.shape)
            return layer.to_out[1](layer.to_out[0](output))

        return attend


def split(features: Tensor, heads: int) -> Tensor:
    """B×N×(heads·d) → B×heads×N×d."""
    batch, length, width = features.shape
    return features.reshape(batch, length, heads, width // heads).permute(0, 2, 1, 3)
