"""CLIP (Radford et al., ICML 2021) for use in a loss: differentiable in the images, with frozen weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facecloak.assets.paths import model_source
from facecloak.errors import FacecloakError
from facecloak.io import quiet_loading


class Clip(nn.Module):
    """Unit embeddings of images and texts in one space.

    Args:
        model: transformers CLIPModel; it is frozen.
        tokenizer: its CLIPTokenizer.
        processor: its CLIPImageProcessor, which gives the mean and standard deviation of RGB in 0..1.
    """

    def __init__(self, model, tokenizer, processor) -> None:
        super().__init__()
        self.model, self.tokenizer = model.requires_grad_(False).eval(), tokenizer
        self.side = model.config.vision_config.image_size
        self.register_buffer("mean", torch.tensor(processor.image_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(processor.image_std).view(3, 1, 1), persistent=False)

    @classmethod
    def load(cls, name: str) -> Clip:
        """Load a transformers CLIPModel folder or hub id, in float32; safetensors only."""
        from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer
        from transformers.utils import logging

        source = model_source(name, "clip")
        try:
            with quiet_loading(logging):
                model = CLIPModel.from_pretrained(source, use_safetensors=True, dtype=torch.float32)
                return cls(model, CLIPTokenizer.from_pretrained(source), CLIPImageProcessor.from_pretrained(source))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FacecloakError(
                f"The CLIP model {name!r} could not be loaded ({' '.join(str(error).split())[:200]}). "
                "Give a transformers CLIPModel folder with safetensors weights, or a hub id that this machine can "
                "reach, as the setting 'clip'."
            ) from None

    def embed_images(self, images: Tensor) -> Tensor:
        """Square images B×3×H×W in [-1, 1] → B×D unit rows; resized as in CLIP, bicubically with antialiasing."""
        if images.shape[-2:] != (self.side, self.side):
            images = F.interpolate(images, (self.side, self.side), mode="bicubic", align_corners=False, antialias=True)
        pixels = ((images + 1) / 2 - self.mean) / self.std
        return F.normalize(self.model.get_image_features(pixel_values=pixels).pooler_output, dim=1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """N texts → N×D unit rows."""
        length = self.model.config.text_config.max_position_embeddings
        words = self.tokenizer(
            list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).to(self.model.device)
        return F.normalize(self.model.get_text_features(**words).pooler_output, dim=1)
