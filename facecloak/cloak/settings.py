"""The proposed method's settings, and those that were published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from facecloak.config import Checked

Precision = Literal["float32", "bf16", "fp16"]

# all settings of the released code, because a preset wins over the suite's settings
PUBLISHED = {
    "steps": 20, "start_step": 17, "timesteps": "code", "embedding_iterations": 20, "embedding_lr": 0.1,
    "iterations": 30, "lr": 0.01, "lambda_adv": 0.003, "lambda_attn": 1.0, "reduction": "sum", "seed": 8888,
}  # fmt: skip


@dataclass(frozen=True)
class BackboneSettings(Checked):
    """Settings of every method that runs a latent diffusion model.

    Attributes:
        models: the settings that name a model.
        backbone: diffusers StableDiffusionPipeline folder or hub id.
        precision: of the UNet; all but UNet and decoder stays in float32.
        decoder_precision: of the decoder.
        tiny_decoder: folder or hub id of an AutoencoderTiny that decodes wherever a gradient is needed; the final
            image always comes from the full decoder. An approximation.
    """

    models: ClassVar[tuple[str, ...]] = ("backbone", "tiny_decoder")

    backbone: str = "asset:stable-diffusion-2-base"
    precision: Precision = "float32"
    decoder_precision: Precision = "float32"
    tiny_decoder: str | None = None


@dataclass(frozen=True)
class DenoisingSettings(BackboneSettings):
    """Settings of every method that runs the last steps of a diffusion.

    Attributes:
        steps: DDIM steps T.
        start_step: s; the last T − s steps are run.
    """

    steps: int = 20
    start_step: int = 17

    def __post_init__(self) -> None:
        self.check("steps must be at most 999", self.steps <= 999)  # of the 1000 that a model is trained for
        self.check("start_step must be between 1 and steps - 1", 0 < self.start_step < self.steps)


@dataclass(frozen=True)
class CloakSettings(DenoisingSettings):
    """Settings of FaceCloak; the defaults are the released code's.

    Attributes:
        timesteps: ``code`` starts the way back one level too low, as the released code does; ``aligned`` does not.
        embedding_iterations: AdamW steps per timestep for the embeddings; 0 keeps the empty prompt's.
        embedding_lr: their learning rate.
        iterations: AdamW steps on the latent, N.
        lr: their learning rate.
        lambda_adv: weight of L_adv.
        lambda_attn: weight of L_attn, the structure term; 0 turns it off.
        reduction: L_adv is the sum (code) or the mean (paper) over the surrogates.
        seed: of the autoencoder's posterior sample.
        gradient_checkpointing: keep one step's activations at a time; slower, less memory, same result.
    """

    name: ClassVar[str] = "facecloak"

    timesteps: Literal["code", "aligned"] = "code"
    embedding_iterations: int = 20
    embedding_lr: float = 0.1
    iterations: int = 30
    lr: float = 0.01
    lambda_adv: float = 0.003
    lambda_attn: float = 1.0
    reduction: Literal["sum", "mean"] = "sum"
    seed: int = 8888
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("iterations must be at least 1", self.iterations >= 1)
        self.check("embedding_iterations must be at least 0", self.embedding_iterations >= 0)
        self.check("lr and embedding_lr must be above 0", self.lr > 0 and self.embedding_lr > 0)
        self.check("lambda_adv and lambda_attn must be at least 0", self.lambda_adv >= 0 and self.lambda_attn >= 0)
