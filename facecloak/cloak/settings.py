"""The proposed method's settings, and those that were published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from facecloak.errors import FacecloakError

Precision = Literal["float32", "bf16", "fp16"]

# all settings of the released code, because a preset wins over the suite's settings
PUBLISHED = {
    "steps": 20, "start_step": 17, "timesteps": "code", "embedding_iterations": 20, "embedding_lr": 0.1,
    "iterations": 30, "lr": 0.01, "lambda_adv": 0.003, "lambda_attn": 1.0, "reduction": "sum", "seed": 8888,
}  # fmt: skip


@dataclass(frozen=True)
class CloakSettings:
    """Settings of FaceCloak; the defaults are the released code's.

    Attributes:
        backbone: diffusers StableDiffusionPipeline folder or hub id.
        steps: DDIM steps T.
        start_step: s; the last T − s steps are run.
        timesteps: ``code`` starts the way back one level too low, as the released code does; ``aligned`` does not.
        embedding_iterations: AdamW steps per timestep for the embeddings; 0 keeps the empty prompt's.
        embedding_lr: their learning rate.
        iterations: AdamW steps on the latent, N.
        lr: their learning rate.
        lambda_adv: weight of L_adv.
        lambda_attn: weight of L_attn, the structure term; 0 turns it off.
        reduction: L_adv is the sum (code) or the mean (paper) over the surrogates.
        seed: of the autoencoder's posterior sample.
        precision: of the UNet; latents, embeddings, losses and recognizers stay in float32.
        decoder_precision: of the decoder.
        tiny_decoder: folder or hub id of an AutoencoderTiny that decodes wherever a gradient is needed; the final
            image always comes from the full decoder. An approximation.
        gradient_checkpointing: keep one step's activations at a time; slower, less memory, same result.
    """

    name: ClassVar[str] = "facecloak"
    models: ClassVar[tuple[str, ...]] = ("backbone", "tiny_decoder")  # settings that name one

    backbone: str = "asset:stable-diffusion-2-base"
    steps: int = 20
    start_step: int = 17
    timesteps: Literal["code", "aligned"] = "code"
    embedding_iterations: int = 20
    embedding_lr: float = 0.1
    iterations: int = 30
    lr: float = 0.01
    lambda_adv: float = 0.003
    lambda_attn: float = 1.0
    reduction: Literal["sum", "mean"] = "sum"
    seed: int = 8888
    precision: Precision = "float32"
    decoder_precision: Precision = "float32"
    tiny_decoder: str | None = None
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        rules = {
            "iterations must be at least 1": self.iterations >= 1,
            "embedding_iterations must be at least 0": self.embedding_iterations >= 0,
            "start_step must be between 1 and steps - 1": 0 < self.start_step < self.steps,
            "lr and embedding_lr must be above 0": self.lr > 0 and self.embedding_lr > 0,
            "lambda_adv and lambda_attn must be at least 0": self.lambda_adv >= 0 and self.lambda_attn >= 0,
        }
        for rule, holds in rules.items():
            if not holds:
                raise FacecloakError(f"{self.name}: {rule}.")
