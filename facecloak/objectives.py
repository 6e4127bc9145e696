"""What an attack minimises: impersonation of a target, or obfuscation of the source (Salar et al. 2025)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from facecloak.faces import crop
from facecloak.recognizers.base import Recognizer

Goal = Literal["impersonation", "obfuscation"]
BOTH: tuple[Goal, ...] = ("impersonation", "obfuscation")
View = Callable[[Tensor], Tensor]  # B×3×S×S face crops in [-1, 1] → the same shape


class Objective(nn.Module):
    """The adversarial terms of a set of surrogate recognizers.

    - impersonation: 1 − cos(f_k(x), f_k(x_t)), x_t the target identity;
    - obfuscation: (1 − cos(f_k(x), f_k(x_t))) − (1 − cos(f_k(x), f_k(x_s))), x_t a synthetic face, x_s the
      source (Salar et al. 2025, eq. of L_adv).

    Args:
        goal: which of the two.
        surrogates: the recognizers f_k; they are never changed.
        targets: T×3×H×W in [-1, 1]. The first is the x_t of the terms; more are for methods that choose among them.
        target_boxes: T×4 face boxes or T×5 turned squares in the target images, see `facecloak.faces.crop`.

    Example:
        >>> from facecloak.recognizers import load_recognizer
        >>> face, box = torch.zeros(1, 3, 128, 128), torch.tensor([[32.0, 24.0, 96.0, 112.0]])
        >>> objective = Objective("impersonation", [load_recognizer("pocket_ir")], face, box)
        >>> [[round(term, 3) for term in terms] for terms in objective(face, box, objective.embed(face, box)).tolist()]
        [[0.0]]
    """

    def __init__(self, goal: Goal, surrogates: Sequence[Recognizer], targets: Tensor, target_boxes: Tensor) -> None:
        super().__init__()
        self.goal = goal
        self.surrogates = nn.ModuleList(surrogates)
        with torch.no_grad():
            embeddings = self.embed(targets, target_boxes)
        for index, embedding in enumerate(embeddings):
            self.register_buffer(f"target_{index}", embedding, persistent=False)

    @property
    def targets(self) -> list[Tensor]:
        """Embeddings of the targets, one T×D tensor of unit rows per surrogate."""
        return [getattr(self, f"target_{index}") for index in range(len(self.surrogates))]

    def embed(self, images: Tensor, boxes: Tensor, view: View | None = None) -> list[Tensor]:
        """Embeddings of the face crops, one B×D tensor of unit rows per surrogate.

        Args:
            images: B×3×H×W in [-1, 1].
            boxes: B×4 face boxes or B×5 turned squares.
            view: what to change in the crops before each surrogate sees them (input diversity).
        """
        crops = (crop(images, boxes, surrogate.input_size) for surrogate in self.surrogates)
        faces = crops if view is None else map(view, crops)
        return [surrogate(face) for surrogate, face in zip(self.surrogates, faces, strict=True)]

    def forward(self, images: Tensor, boxes: Tensor, source: list[Tensor], view: View | None = None) -> Tensor:
        """The terms of each image and surrogate, B×K; their sum or mean over k is L_adv.

        Args:
            images: B×3×H×W in [-1, 1], the images under attack.
            boxes: B×4 or B×5, the face boxes of their sources.
            source: `embed` of the sources.
            view: see `embed`.
        """
        terms = []
        for index, embedding in enumerate(self.embed(images, boxes, view)):
            to_target = embedding @ self.targets[index][0]
            if self.goal == "impersonation":
                terms.append(1 - to_target)
            else:
                terms.append((embedding * source[index]).sum(dim=1) - to_target)
        return torch.stack(terms, dim=1)
