"""What the methods that run a latent diffusion model share: its loading, and the hash of its weights."""

from __future__ import annotations

from facecloak.cloak.backbone import Backbone, models_sha256
from facecloak.cloak.settings import BackboneSettings
from facecloak.errors import FacecloakError
from facecloak.method import ProtectionMethod
from facecloak.objectives import Objective


class LatentMethod(ProtectionMethod):
    """A method with a latent diffusion model.

    Args:
        backbone: the model, if it is loaded already; by default the one that the settings name.
        caption: a sentence to embed with it, see `Backbone.load`.
    """

    uses_surrogates = True

    def __init__(
        self,
        settings: BackboneSettings,
        objective: Objective,
        backbone: Backbone | None = None,
        caption: str | None = None,
    ) -> None:
        super().__init__(settings, objective)
        self.backbone = backbone or Backbone.load(
            settings.backbone, settings.precision, settings.decoder_precision, settings.tiny_decoder, caption
        )

    @classmethod
    def weights_sha256(cls, settings: BackboneSettings) -> str | None:
        return models_sha256(settings.backbone, settings.tiny_decoder)

    @classmethod
    def require_device(cls, settings: BackboneSettings, device: str) -> None:
        if "fp16" in (settings.precision, settings.decoder_precision) and device != "cuda":
            raise FacecloakError("fp16 needs a GPU; use float32 or bf16 on a CPU.")
