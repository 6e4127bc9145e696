"""Self-attention guidance: keep the self-attention maps of the source (Salar et al. 2025, L_attn)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn


class SelfAttentionGuidance:
    """Watches the self-attention layers of a UNet: of its down, mid and up blocks, or of some.

    Outside of `record` and `compare` the layers run their fused attention, and no map is ever formed.

    Args:
        part: start of the names of the layers to watch, such as ``up_blocks``.

    Raises:
        RuntimeError: the UNet has no self-attention layer that can be found, so that L_attn would be silently off.
    """

    def __init__(self, unet: nn.Module, part: str = "") -> None:
        processors = dict(unet.attn_processors)
        names = [name for name in processors if name.startswith(part) and name.endswith("attn1.processor")]
        if not names:
            raise RuntimeError(f"no self-attention layer (attn1) among {sorted(processors)[:4]}")
        self._layers = [_Layer() for _ in names]
        unet.set_attn_processor({**processors, **dict(zip(names, self._layers, strict=True))})

    @contextmanager
    def record(self) -> Iterator[dict[_Layer, Tensor]]:
        """Collect the maps of the UNet pass inside, one B×heads×N×N tensor per layer."""
        maps: dict[_Layer, Tensor] = {}
        with self._mode(recorded=maps):
            yield maps

    @contextmanager
    def compare(self, source: dict[_Layer, Tensor]) -> Iterator[dict[_Layer, Tensor]]:
        """Collect, for each layer, each image's mean squared difference (B) to the recorded maps."""
        losses: dict[_Layer, Tensor] = {}
        with self._mode(source=source, compared=losses):
            yield losses

    @contextmanager
    def _mode(self, **dictionaries: dict[_Layer, Tensor]) -> Iterator[None]:
        for layer in self._layers:
            vars(layer).update(dictionaries)
        try:
            yield
        finally:
            for layer in self._layers:
                vars(layer).update(dict.fromkeys(dictionaries))


class _Layer(AttnProcessor2_0):
    """The attention processor of one self-attention layer."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: dict[_Layer, Tensor] | None = None
        self.source: dict[_Layer, Tensor] | None = None
        self.compared: dict[_Layer, Tensor] | None = None

    def __call__(self, attn: Attention, hidden_states: Tensor, *args, **kwargs) -> Tensor:
        if self.recorded is None and self.compared is None:
            return super().__call__(attn, hidden_states, *args, **kwargs)
        query, key, value = project(attn, hidden_states, hidden_states)
        if self.recorded is not None:
            maps = attention_maps(query, key, attn.scale)
            self.recorded[self] = maps
            output = maps @ value
        else:
            output, self.compared[self] = AttentionWithMapLoss.apply(query, key, value, self.source[self], attn.scale)
        return project_back(attn, output)


def project(attn: Attention, hidden_states: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of an attention layer, each B×heads×N×d."""
    query, key, value = (
        projection(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        for projection, states in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
    )
    return query, key, value


def project_back(attn: Attention, output: Tensor) -> Tensor:
    """An attention layer's output, B×N×d, from its heads' outputs, B×heads×N×d."""
    return attn.to_out[1](attn.to_out[0](output.transpose(1, 2).flatten(2)))


def attention_maps(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """softmax(QKᵀ·scale), B×heads×N×N; the softmax of half-precision scores is taken in float32."""
    scores = (query @ key.transpose(-1, -2)).mul_(scale)
    if scores.dtype in (torch.float16, torch.bfloat16):
        return scores.softmax(dim=-1, dtype=torch.float32).to(scores.dtype)
    return scores.softmax(dim=-1)


class AttentionWithMapLoss(torch.autograd.Function):
    """Attention and the squared distance of its maps to given ones, as one node that keeps the maps once.

    ``apply(query, key, value, source, scale)`` → output B×heads×N×d and, per image, the mean over heads and N×N
    entries of (A − source)². No gradient goes to ``source``.
    """

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor, source: Tensor, scale: float):
        maps = attention_maps(query, key, scale)
        ctx.save_for_backward(query, key, value, maps, source)
        ctx.scale = scale
        loss = (maps - source).float() if maps.dtype in (torch.float16, torch.bfloat16) else maps - source
        return maps @ value, loss.pow_(2).flatten(1).mean(1)

    @staticmethod
    def backward(ctx, grad_output: Tensor, grad_loss: Tensor):
        query, key, value, maps, source = ctx.saved_tensors
        weight = (2 * grad_loss / maps[0].numel()).view(-1, 1, 1, 1)
        grad_maps = grad_output @ value.transpose(-1, -2)
        grad_maps.add_((maps - source) * weight)
        grad_value = maps.transpose(-1, -2) @ grad_output
        grad_scores = grad_maps.sub_((grad_maps * maps).sum(-1, keepdim=True)).mul_(maps).mul_(ctx.scale)
        return grad_scores @ key, grad_scores.transpose(-1, -2) @ query, grad_value, None, None
