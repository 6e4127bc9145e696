"""A method that must be trained, in two stages: the mean colour of images, then a colour that fools recognizers."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks import METHODS
from facecloak.cli.main import main
from facecloak.data import Batch
from facecloak.errors import FacecloakError
from facecloak.method import Protected, ProtectionMethod, Stage
from facecloak.objectives import Objective

PATH = "tests.benchmarks.tinted:Tinted"
BOXES = torch.tensor([[4.0, 4.0, 60.0, 60.0]] * 4)
STEPS: list[str] = []  # the steps of all fits in this process
FAILS = "FAIL"  # environment: training ends in an error
DIES = "DIE_IN_PASS"  # environment: number of the second stage's pass, from 0, in which the process is killed


@dataclass(frozen=True)
class TintedSettings:
    mean_passes: int = 2
    passes: int = 3
    lr: float = 0.05
    strength: float = 1.0  # used only in the protection


class Colour(pl.LightningModule):
    """One colour, and the data that it is learnt from: four smooth images."""

    def __init__(self, name: str, start: Tensor, lr: float, objective: Objective) -> None:
        super().__init__()
        self.name, self.lr, self.objective = name, lr, objective
        self.colour = torch.nn.Parameter(start.clone())
        coarse = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
        self.images = torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic")

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.images, batch_size=2)

    def on_fit_start(self) -> None:
        print("fitted in process", rank_zero_only.rank, file=sys.stderr)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.lr)

    def training_step(self, images: Tensor, batch_idx: int = 0) -> Tensor:
        if self.name == "tint" and self._trainer and os.environ.get(DIES) == str(self.current_epoch):
            os._exit(9)
        STEPS.append(self.name)
        if self._trainer and os.environ.get(FAILS):
            raise FacecloakError("the loss is not finite")
        if self.name == "mean":
            return (images - self.colour).square().mean()
        boxes = BOXES[: len(images)].to(images)
        return self.objective(images + self.colour, boxes, self.objective.embed(images, boxes)).mean()


class Tinted(ProtectionMethod):
    Settings: ClassVar[type[Any]] = TintedSettings
    uses_surrogates = True

    @classmethod
    def stages(cls, settings: TintedSettings) -> list[Stage]:
        mean = {"lr": settings.lr}
        return [
            Stage("mean", mean, settings.mean_passes, "nothing"),
            Stage("tint", {**mean, "mean_passes": settings.mean_passes}, settings.passes, "objective"),
        ]

    def build(self, stage: str) -> Colour:
        return Colour(stage, getattr(self, "mean", torch.zeros(3, 1, 1)), self.settings.lr, self.objective)

    def use(self, stage: str, weights: dict[str, Tensor]) -> None:
        setattr(self, stage, weights["colour"])

    def protect(self, batch: Batch) -> Protected:
        images = (batch.images + self.settings.strength * self.tint.to(batch.images)).clamp(-1, 1)
        return Protected(images, [None] * len(images))


def install() -> None:
    """Register it as a method by name, in a separate process."""
    METHODS._targets["tinted"] = PATH


if __name__ == "__main__":  # the command line
    install()
    sys.exit(main(sys.argv[1:]))
