"""One recognizer: a network behind the literature's preprocessing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facecloak.errors import FacecloakError


class Recognizer(nn.Module):
    """Face crops in, unit embeddings out; their dot product is the cosine that every threshold is set on.

    The network is frozen and always in eval mode: a surrogate whose batch normalisation follows the batch,
    or that is trained too, would no longer be the recognizer that it is named after.

    Args:
        network: maps N×3×S×S in its own pixel range to N×D.
        name: the recognizer's name in results.
        input_size: S, in pixels.
        weights_sha256: hex SHA-256 of the weights file; None for a network that has none.
        mean, std: the network takes (v - mean) / std for v in 0..255.
        bgr: the network takes BGR.
        differentiable: False for a black box, which gives no gradient.

    Example:
        >>> from facecloak.recognizers import load_recognizer
        >>> lengths = load_recognizer("pocket_ir")(torch.zeros(2, 3, 128, 128)).norm(dim=1)
        >>> [round(length, 3) for length in lengths.tolist()]
        [1.0, 1.0]
    """

    def __init__(
        self,
        network: nn.Module,
        name: str,
        input_size: int,
        weights_sha256: str | None,
        mean: float = 127.5,
        std: float = 127.5,
        bgr: bool = False,
        differentiable: bool = True,
    ) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.name = name
        self.input_size = input_size
        self.weights_sha256 = weights_sha256
        # (x + 1) · 127.5 and (v - mean) / std as one step, which for 127.5 is x · 1 + 0: the input, exactly
        self.scale = 127.5 / std
        self.shift = (127.5 - mean) / std
        self.bgr = bgr
        self.differentiable = differentiable
        self.eval()

    def train(self, mode: bool = True) -> Recognizer:
        """Stay in eval mode, whatever the module that holds this one does."""
        return super().train(False)

    def forward(self, faces: Tensor) -> Tensor:
        """Embed face crops.

        Args:
            faces: N×3×h×w, RGB in [-1, 1], any h and w, in the dtype of the network.

        Returns:
            N×D, each row of length 1. The resize is bilinear without antialiasing, as in the code of
            AMT-GAN (Hu et al., CVPR 2022) and of every paper that uses its checkpoints.

        Raises:
            FacecloakError: a gradient of a black box is needed.
        """
        if not self.differentiable and torch.is_grad_enabled() and faces.requires_grad:
            raise FacecloakError(
                f"Recognizer {self.name!r} is loaded as a black box and gives no gradient; "
                "load it with differentiable=True to use it as a surrogate."
            )
        size = (self.input_size, self.input_size)
        faces = F.interpolate(faces, size, mode="bilinear", align_corners=False, antialias=False)
        if self.bgr:
            faces = faces.flip(1)
        return F.normalize(self.network(faces * self.scale + self.shift), dim=1)
