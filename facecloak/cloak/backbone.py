"""A latent diffusion model from a diffusers StableDiffusionPipeline folder or hub id."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from facecloak.assets.paths import folder_sha256, model_source
from facecloak.errors import FacecloakError
from facecloak.io import quiet_loading

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Caption(NamedTuple):
    """A sentence for the UNet: its embedding, 1×L×d, and how many tokens its words have."""

    embedding: Tensor
    tokens: int


class Backbone(nn.Module):
    """A frozen UNet, autoencoder and schedule. Latents stay in the images' precision, whatever the networks'.

    Args:
        unet: diffusers UNet2DConditionModel that predicts noise.
        vae: AutoencoderKL or AutoencoderTiny.
        scheduler: DDIMScheduler.
        null_embedding: 1×L×d, the text encoder's embedding of the empty prompt.
        gradient_decoder: an AutoencoderTiny that stands in for the decoder wherever a gradient is needed.
        caption: the embedding and the number of words' tokens of a sentence, for methods that need one.

    Raises:
        FacecloakError: the model does not predict noise.
    """

    def __init__(
        self, unet, vae, scheduler, null_embedding: Tensor, gradient_decoder=None, caption: Caption | None = None
    ) -> None:
        super().__init__()
        if scheduler.config.prediction_type != "epsilon":
            raise FacecloakError(
                f"The diffusion model predicts {scheduler.config.prediction_type!r}; "
                "this method needs one that predicts noise ('epsilon'), such as Stable Diffusion 2-base."
            )
        self.unet, self.vae, self.scheduler = unet, vae, scheduler
        self.gradient_decoder = gradient_decoder
        self.register_buffer("_null_embedding", null_embedding, persistent=False)
        self.register_buffer("_caption_embedding", None if caption is None else caption.embedding, persistent=False)
        self.caption_tokens = 0 if caption is None else caption.tokens
        self.passes = 0
        self.requires_grad_(False).eval()

    @classmethod
    def load(
        cls, name: str, precision: str, decoder_precision: str, tiny_decoder: str | None, caption: str | None = None
    ) -> Backbone:
        """Load from a folder or hub id; safetensors only.

        Args:
            name: pipeline folder (may start with $FACECLOAK_SHARED) or hub id.
            precision: float32, bf16 or fp16, of the UNet.
            decoder_precision: the same, of the decoder; the encoder, needed once per image, stays in float32.
            tiny_decoder: folder or hub id of an AutoencoderTiny for the gradient, or None.
            caption: a sentence to embed beside the empty prompt, or None.
        """
        from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline
        from diffusers.utils import logging as diffusers_logging
        from transformers.utils import logging as transformers_logging

        source = model_source(name, "backbone")
        tiny = None
        try:
            with quiet_loading(diffusers_logging, transformers_logging):
                pipeline = StableDiffusionPipeline.from_pretrained(
                    source, use_safetensors=True, safety_checker=None, requires_safety_checker=False,
                    feature_extractor=None, image_encoder=None,
                ).to(torch.float32)  # fmt: skip
                if tiny_decoder:
                    folder = model_source(tiny_decoder, "tiny_decoder")
                    tiny = AutoencoderTiny.from_pretrained(folder, use_safetensors=True)
                    tiny.to(memory_format=torch.channels_last)  # faster; of the other networks none is
                pipeline.unet.to(DTYPES[precision])
                for part in (pipeline.vae.decoder, getattr(pipeline.vae, "post_quant_conv", None), tiny):
                    if part is not None:
                        part.to(DTYPES[decoder_precision])
        except (OSError, ValueError, KeyError) as error:
            raise FacecloakError(
                f"The diffusion model {name!r} could not be loaded ({' '.join(str(error).split())[:200]}). "
                "Give a diffusers StableDiffusionPipeline folder with safetensors weights, "
                "or a hub id that this machine can reach, as the setting 'backbone'."
            ) from None
        null, said = embed_text(pipeline, ""), None if caption is None else embed_text(pipeline, caption)
        scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False, set_alpha_to_one=False)
        return cls(pipeline.unet, pipeline.vae, scheduler, null.embedding, tiny, said)

    def null_embedding(self, batch: int) -> Tensor:
        """The empty prompt's embedding, B×L×d."""
        return self._null_embedding.expand(batch, -1, -1)

    def caption_embedding(self, batch: int) -> Tensor:
        """The caption's embedding, B×L×d; the words' tokens are 1 … `caption_tokens`."""
        return self._caption_embedding.expand(batch, -1, -1)

    def alpha(self, timestep: int) -> Tensor:
        """ᾱ at a timestep, float32 as in the scheduler; below 0 the schedule's first (set_alpha_to_one False)."""
        return self.scheduler.alphas_cumprod[max(timestep, 0)]

    def predict_noise(self, z: Tensor, timestep: int, embedding: Tensor) -> Tensor:
        """ε(z, t, e) for B×C×h×w latents and B×L×d embeddings; no classifier-free guidance."""
        self.passes += 1
        dtype = self.unet.dtype
        return self.unet(z.to(dtype), timestep, encoder_hidden_states=embedding.to(dtype)).sample.to(z.dtype)

    @torch.no_grad()
    def encode(self, images: Tensor, seed: int | None) -> Tensor:
        """Scaled latents of B×3×H×W images in [-1, 1]; each image gets the same seeded posterior noise, or none."""
        encoded = self.vae.encode(images)
        if hasattr(encoded, "latents"):
            latents = encoded.latents
        else:
            posterior = encoded.latent_dist
            latents = posterior.mean
            if seed is not None:
                generator = torch.Generator().manual_seed(seed)
                noise = torch.randn(1, *latents.shape[1:], generator=generator, dtype=torch.float32)
                latents = latents + posterior.std * noise.to(latents)
        return latents.to(images.dtype) * self.vae.config.scaling_factor

    def decode(self, z: Tensor, for_gradient: bool = False) -> Tensor:
        """Images of scaled latents, about [-1, 1]. ``for_gradient`` allows the tiny decoder where one is set."""
        vae = self.gradient_decoder if for_gradient and self.gradient_decoder is not None else self.vae
        dtype = next(vae.decoder.parameters()).dtype
        return vae.decode((z / vae.config.scaling_factor).to(dtype)).sample.to(z.dtype)

    def update(self, optimizer: torch.optim.Optimizer, variable: Tensor, loss: Tensor) -> None:
        """One optimiser step on one variable."""
        (variable.grad,) = self.gradients(loss, [variable])
        optimizer.step()

    def gradients(self, loss: Tensor, variables: list[Tensor]) -> list[Tensor]:
        """∂loss/∂variable of each variable. In fp16 the loss is scaled up so that gradients do not vanish."""
        scale = 2.0**10 if self.unet.dtype == torch.float16 else 1.0
        return [gradient / scale for gradient in torch.autograd.grad(loss * scale, variables)]


def embed_text(pipeline, text: str) -> Caption:
    """A sentence through the text encoder of a StableDiffusionPipeline; what is too long for it is cut off."""
    tokenizer = pipeline.tokenizer
    longest = tokenizer.model_max_length
    padded = tokenizer(text, padding="max_length", max_length=longest, truncation=True, return_tensors="pt")
    with torch.no_grad():
        embedding = pipeline.text_encoder(padded.input_ids)[0]
    words = tokenizer(text, max_length=longest, truncation=True).input_ids[1:-1]  # between the start and the end
    return Caption(embedding, len(words))


def models_sha256(backbone: str, tiny_decoder: str | None) -> str:
    """Hash of the models that a method of this room loads; they are fetched if they are not here.

    Args:
        backbone, tiny_decoder: the settings of these names.
    """
    models = {"backbone": backbone, "tiny_decoder": tiny_decoder}
    return "+".join(folder_sha256(model_source(name, key)) for key, name in models.items() if name is not None)
