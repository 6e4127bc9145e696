"""Attention head by head, in loops, whose maps can be read and whose outputs can be exchanged."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Exchange = Callable[[Tensor], Tensor]  # outputs of all rows of an attention layer → outputs of all rows


class EveryAttention:
    """Attention of a UNet written as loops over rows and heads, within a ``with`` block.

    Attributes:
        scores: scaled Q·Kᵀ of the last pass, rows × heads of N×M, by layer name.
        maps: their softmax, in the same form.
        exchange: what is done with each layer's output.
    """

    def __init__(self, unet: nn.Module, exchange: Exchange | None = None) -> None:
        self.unet, self.exchange = unet, exchange
        self.scores: dict[str, list[list[Tensor]]] = {}
        self.maps: dict[str, list[list[Tensor]]] = {}

    def __enter__(self) -> EveryAttention:
        self.before = dict(self.unet.attn_processors)
        self.unet.set_attn_processor({name: self.processor(name) for name in self.before})
        return self

    def __exit__(self, *exception: object) -> None:
        self.unet.set_attn_processor(self.before)

    def processor(self, name: str) -> Callable[..., Tensor]:
        def attend(layer, hidden_states, encoder_hidden_states=None, attention_mask=None, **ignored):
            context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
            self.scores[name], self.maps[name], outputs = [], [], []
            for row in range(len(hidden_states)):
                query, key, value = layer.to_q(hidden_states[row]), layer.to_k(context[row]), layer.to_v(context[row])
                width, scores, parts = query.shape[1] // layer.heads, [], []
                for head in range(layer.heads):
                    part = slice(head * width, (head + 1) * width)
                    scores.append(query[:, part] @ key[:, part].T / width**0.5)
                    parts.append(torch.softmax(scores[-1], dim=1) @ value[:, part])
                self.scores[name].append(scores)
                self.maps[name].append([torch.softmax(score, dim=1) for score in scores])
                outputs.append(layer.to_out[0](torch.cat(parts, dim=1)))
            output = torch.stack(outputs)
            return output if self.exchange is None else self.exchange(output)

        return attend
