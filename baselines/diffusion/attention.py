"""What the attention layers of a UNet do: cross-attention maps, similarities and outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn

from facecloak.cloak.structure import attention_maps, project, project_back


class CrossAttentionMaps:
    """Watches the cross-attention layers of a UNet at one resolution.

    Args:
        positions: number of latent positions of the layers to watch, such as 64 for 8×8.
    """

    def __init__(self, unet: nn.Module, positions: int) -> None:
        processors = dict(unet.attn_processors)
        names = [name for name in processors if name.endswith("attn2.processor")]
        self._layers = [_CrossLayer(positions) for _ in names]
        unet.set_attn_processor({**processors, **dict(zip(names, self._layers, strict=True))})

    @contextmanager
    def record(self) -> Iterator[list[Tensor]]:
        """Collect the maps of the UNet pass inside, a B×positions×L mean over the heads of each layer."""
        maps: list[Tensor] = []
        for layer in self._layers:
            layer.maps = maps
        try:
            yield maps
        finally:
            for layer in self._layers:
                layer.maps = None


class _CrossLayer(AttnProcessor2_0):
    """The attention processor of one cross-attention layer."""

    def __init__(self, positions: int) -> None:
        super().__init__()
        self.positions = positions
        self.maps: list[Tensor] | None = None

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, *args, **kwargs
    ) -> Tensor:
        if self.maps is None or hidden_states.shape[1] != self.positions:
            return super().__call__(attn, hidden_states, encoder_hidden_states, *args, **kwargs)
        query, key, value = project(attn, hidden_states, encoder_hidden_states)
        maps = attention_maps(query, key, attn.scale)
        self.maps.append(maps.mean(1))
        return project_back(attn, maps @ value)


@dataclass
class Seen:
    """What a UNet pass has shown.

    Attributes:
        similarities: of each self-attention layer with few enough positions: scaled Q·Kᵀ, B×heads×N×N.
        outputs: of each attention layer, B×N×d.
        deepest: output of the last down block, B×C×h×w.
    """

    similarities: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    deepest: Tensor | None = None


class AttentionFeatures:
    """Shows what the attention layers and the last down block of a UNet compute.

    Outside of `watch` the layers run their fused attention.

    Args:
        positions: self-attention layers with more positions are not compared.
    """

    def __init__(self, unet: nn.Module, positions: int) -> None:
        self._unet = unet
        self._layers = {name: _SeenLayer(positions) for name in unet.attn_processors}
        unet.set_attn_processor(dict(self._layers))

    @contextmanager
    def watch(self, replayed: list[Tensor] | None = None) -> Iterator[Seen]:
        """Look at the UNet pass inside.

        Args:
            replayed: outputs of all attention layers in their order, of another pass, which take the place of this
                pass's own.
        """
        seen, left = Seen(), None if replayed is None else iter(replayed)
        for layer in self._layers.values():
            layer.seen, layer.replayed = seen, left
        hook = self._unet.down_blocks[-1].register_forward_hook(
            lambda block, inputs, outputs: setattr(seen, "deepest", outputs[0])
        )
        try:
            yield seen
        finally:
            hook.remove()
            for layer in self._layers.values():
                layer.seen = layer.replayed = None


class _SeenLayer(AttnProcessor2_0):
    """The attention processor of one layer, self- or cross-attention."""

    def __init__(self, positions: int) -> None:
        super().__init__()
        self.positions = positions
        self.seen: Seen | None = None
        self.replayed: Iterator[Tensor] | None = None

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, *args, **kwargs
    ) -> Tensor:
        if self.seen is None:
            return super().__call__(attn, hidden_states, encoder_hidden_states, *args, **kwargs)
        compared = encoder_hidden_states is None and hidden_states.shape[1] <= self.positions
        if compared:
            query, key, value = project(attn, hidden_states, hidden_states)
            similarities = (query @ key.transpose(-1, -2)) * attn.scale
            self.seen.similarities.append(similarities)
        if self.replayed is not None:
            output = next(self.replayed)
        elif compared:
            output = project_back(attn, similarities.softmax(dim=-1) @ value)
        else:
            output = super().__call__(attn, hidden_states, encoder_hidden_states, *args, **kwargs)
        self.seen.outputs.append(output)
        return output
