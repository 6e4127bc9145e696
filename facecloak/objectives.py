"""What an attack minimises: impersonation of a target, or obfuscation of the source (Salar et al. 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from facecloak.faces import crop
from facecloak.recognizers.base import Recognizer

Goal = Literal["impersonation", "obfuscation"]


class Objective(nn.Module):
    """The adversarial terms of a set of surrogate recognizers.

    - impersonation: 1 − cos(f_k(x), f_k(x_t)), x_t the target identity;
    - obfuscation: (1 − cos(f_k(x), f_k(x_t))) − (1 − cos(f_k(x), f_k(x_s))), x_t a synthetic face, x_s the
      source (Salar et al. 2025, eq. of L_adv).

    Args:
        goal: which of the two.
        surrogates: the recognizers f_k; they are never changed.
        target: 1×3×H×W in [-1, 1].
        target_box: 1×4 face box in the target image.
    """

    def __init__(self, goal: Goal, surrogates: Sequence[Recognizer], target: Tensor, target_box: Tensor) -> None:
        super().__init__()
        self.goal = goal
        self.surrogates = nn.ModuleList(surrogates)
        with torch.no_grad():
            embeddings = self.embed(target, target_box)
        for index, embedding in enumerate(embeddings):
            self.register_buffer(f"target_{index}", embedding, persistent=False)

    def embed(self, images: Tensor, boxes: Tensor) -> list[Tensor]:
        """Embeddings of the face crops, one B×D tensor of unit rows per surrogate."""
        return [surrogate(crop(images, boxes, surrogate.input_size)) for surrogate in self.surrogates]

    def forward(self, images: Tensor, boxes: Tensor, source: list[Tensor]) -> Tensor:
        """The terms of each image and surrogate, B×K; their sum or mean over k is L_adv.

        Args:
            images: B×3×H×W in [-1, 1], the images under attack.
            boxes: B×4, the face boxes of their sources.
            source: `embed` of the sources.
        """
        terms = []
        for index, embedding in enumerate(self.embed(images, boxes)):
            to_target = embedding @ getattr(self, f"target_{index}")[0]
            if self.goal == "impersonation":
                terms.append(1 - to_target)
            else:
                terms.append((embedding * source[index]).sum(dim=1) - to_target)
        return torch.stack(terms, dim=1)
