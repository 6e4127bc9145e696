"""The base of both stages of DiffAM: fine-tune a diffusion model through the short way back from inverted images."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytorch_lightning as pl
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from baselines.diffam.diffusion import PixelDiffusion
from facecloak.errors import FacecloakError

GROWTH = 1.3  # factor of the learning rate from one pass to the next
Layers = Literal["all", "attention"]


@dataclass(frozen=True)
class FineTuningSettings:
    """Settings of both stages.

    Attributes:
        t0: timestep up to which images are inverted.
        inversion_steps: number of levels of the inversion.
        generation_steps: number of steps of the way back, in training.
        test_steps: number of steps of the way back when images are made.
        passes: number of passes over all images.
        batch_size: number of images per step of Adam.
        lr: learning rate of Adam in the first pass; each following pass multiplies it by 1.3.
        layers: layers of the UNet that are trained: ``all``, as published, or only those of its ``attention``, which
            makes edits smoother and weaker.
        rank: rank of the low-rank matrices that are trained instead of the weights (Hu et al., "LoRA", ICLR 2022), so
            that a checkpoint is small; 0 trains the weights themselves, as published.
        gradient_checkpointing: keep the activations of one step at a time; this needs less memory and is slower, with
            the same result.
    """

    name: ClassVar[str]
    t0: int
    inversion_steps: int
    generation_steps: int
    test_steps: int
    passes: int
    batch_size: int = 1
    lr: float = 8e-6
    layers: Layers = "all"
    rank: int = 0
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        self.check("passes and batch_size must be at least 1", min(self.passes, self.batch_size) >= 1)
        self.check("lr must be above 0", self.lr > 0)
        self.check("rank must be at least 0", self.rank >= 0)
        for name, least in (("inversion_steps", 2), ("generation_steps", 1), ("test_steps", 1)):
            self.check(f"{name} must be between {least} and t0 + 1", least <= getattr(self, name) <= self.t0 + 1)
        weights = [value for key, value in vars(self).items() if key.startswith("lambda_")]
        self.check("weights of losses must be at least 0", all(value >= 0 for value in weights))

    def check(self, rule: str, holds: bool) -> None:
        """Raise `FacecloakError` with the rule if it is broken."""
        if not holds:
            raise FacecloakError(f"diffam {self.name}: {rule}.")


class FineTuning(pl.LightningModule):
    """A copy of a diffusion model that learns an edit; the original inverts images, in training and afterwards.

    `Trainer.fit` with ``max_epochs`` = ``passes`` trains it. Images come in the same order in every pass and nothing
    is random, so that a fit resumed from the end of a pass ends with the same weights as an uninterrupted one. The
    state has only the weights that the copy learns.

    Subclasses implement `training_step` and call `total`; their other networks are frozen.

    Args:
        settings: settings of the stage.
        diffusion: the original model; it is frozen.
        data: tensors of length N: first the images (N×3×side×side in [-1, 1]), then the data that belong to them.
    """

    def __init__(self, settings: FineTuningSettings, diffusion: PixelDiffusion, *data: Tensor) -> None:
        super().__init__()
        self.settings = settings
        self.tuned = copy.deepcopy(diffusion).requires_grad_(False)
        if settings.layers == "attention" and not any(".attentions." in name for name, _ in self.tuned.named_modules()):
            raise FacecloakError(f"diffam {settings.name}: the UNet has no attention; let all layers learn.")
        _make_learn(self.tuned.unet, settings.layers, settings.rank)
        self.diffusion = diffusion.requires_grad_(False)
        self.data = data

    def train_dataloader(self) -> DataLoader:
        """Batches of the data, with the inverted images last; these are computed in the first pass."""
        return DataLoader(_Inverted(self), batch_size=None)

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam, with its learning rate multiplied by 1.3 after each pass."""
        optimizer = torch.optim.Adam(self.tuned.parameters(), self.settings.lr)
        return {
            "optimizer": optimizer,
            "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, GROWTH),
        }

    def invert(self, images: Tensor) -> Tensor:
        """The noisy images that lead back to B×3×side×side images, made by the model as it was before training."""
        return self.diffusion.invert(images, self.settings.t0, self.settings.inversion_steps)

    def generate(self, latents: Tensor) -> Tensor:
        """The edited images for inverted images, B×3×side×side, with gradients and not clamped."""
        settings = self.settings
        return self.tuned.generate(latents, settings.t0, settings.generation_steps, settings.gradient_checkpointing)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Edit B×3×side×side images in [-1, 1]; the result has the same shape and range."""
        return self.tuned.generate(self.invert(images), self.settings.t0, self.settings.test_steps).clamp(-1, 1)

    def total(self, losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
        """The weighted sum of losses (B numbers each), averaged over the batch; the mean of each loss is logged.

        Raises:
            FacecloakError: the sum is not a finite number.
        """
        means = {name: loss.mean() for name, loss in losses.items()}
        total = sum(weights[name] * mean for name, mean in means.items())
        if not total.isfinite():
            values = ", ".join(f"{name} {mean.item():.3g}" for name, mean in means.items())
            raise FacecloakError(
                f"diffam {self.settings.name}: the loss is not finite in pass {self.current_epoch + 1} ({values}); "
                "a lower learning rate may help."
            )
        size = len(next(iter(losses.values())))
        self.log_dict({**means, "loss": total}, on_step=False, on_epoch=True, batch_size=size)
        return total

    def state_dict(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """The weights that are trained; a checkpoint does not need the frozen ones."""
        learnt = {name for name, weight in self.tuned.named_parameters() if weight.requires_grad}
        state = self.tuned.state_dict(*arguments, **options)
        return {name: weight for name, weight in state.items() if name in learnt}

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the result of `state_dict`; `FacecloakError` if it belongs to another network, rank or layers."""
        shapes, own = ({name: w.shape for name, w in state.items()} for state in (state_dict, self.state_dict()))
        if shapes != own:
            raise FacecloakError(f"diffam {self.settings.name}: the checkpoint is for another network, rank or layers.")
        return self.tuned.load_state_dict(state_dict, strict=False, assign=assign)


class _Inverted(Dataset):
    """The batches of a fine-tuning's data, each with its inverted images."""

    def __init__(self, module: FineTuning) -> None:
        self.module, self.latents = module, {}
        self.batches = [*zip(*(part.split(module.settings.batch_size) for part in module.data), strict=True)]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        if number not in self.latents:
            self.latents[number] = self.module.invert(self.batches[number][0].to(self.module.device)).cpu()
        return *self.batches[number], self.latents[number]


def _make_learn(unet: nn.Module, which: Layers, rank: int) -> None:
    """Make layers trainable, in place; or add low-rank matrices, which start from the same values for every network."""

    def learns(name: str) -> bool:
        return which == "all" or ".attentions." in name

    if not rank:
        for name, weight in unet.named_parameters():
            weight.requires_grad_(learns(name))
        return
    layers = [name for name, layer in unet.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear) and learns(name)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=layers), unet)
