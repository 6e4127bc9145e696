"""The contract that methods are held to: ours keep it, and each way to break it is named."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from benchmarks import METHODS
from facecloak.errors import FacecloakError
from facecloak.method import NoSettings, Protected, ProtectionMethod
from facecloak.testing import check_method

FEW = {
    "facecloak": {"backbone": "$FACECLOAK_POCKET/diffusion", "iterations": 1, "embedding_iterations": 1, "steps": 4,
                  "start_step": 2},
    "pgd": {"iterations": 2}, "mi_fgsm": {"iterations": 2}, "ti_dim": {"iterations": 2}, "tip_im": {"iterations": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in METHODS if not METHODS[name].stages(METHODS[name].Settings())])
def test_our_methods_keep_the_contract(name):
    check_method(METHODS[name], FEW.get(name))


class Method(ProtectionMethod):
    def protect(self, batch):
        return Protected(self.change(batch.images.clone()), [None] * len(batch.ids))

    def change(self, images):
        return images


class Outside(Method):
    def change(self, images):
        return images * 2


class InPlace(Method):
    def protect(self, batch):
        batch.images.mul_(0.5)
        return Protected(batch.images.clone(), [None] * len(batch.ids))


class Random(Method):
    def change(self, images):
        return torch.rand_like(images)


class Mixing(Method):
    def change(self, images):
        return images.mean(0, keepdim=True).expand_as(images).clone()


class Hiding(Method):
    def change(self, images):
        return images.nan_to_num(0)


class FewErrors(Method):
    def protect(self, batch):
        return Protected(batch.images.clone(), [None])


class Leaving(Method):
    def __init__(self, settings, objective=None):
        super().__init__(settings, objective)
        self.shift = torch.nn.Parameter(torch.zeros(1))

    def change(self, images):
        (images + self.shift).sum().backward()
        return images


class Attached(Method):
    def __init__(self, settings, objective=None):
        super().__init__(settings, objective)
        self.shift = torch.nn.Parameter(torch.zeros(1))

    def change(self, images):
        return images + self.shift


@dataclass
class Thawed:
    by: int = 1


class Unfrozen(Method):
    Settings: ClassVar = Thawed


class Misfit(Method):
    Settings: ClassVar = NoSettings
    presets: ClassVar = {"default": {}, "strong": {"by": 3}}


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (Outside, "returned pixels from"),
        (InPlace, "changes the images"),
        (Random, "the same call twice"),
        (Mixing, "than alone"),
        (Hiding, "an image of NaN is no error"),
        (FewErrors, "returned 1 errors for 4 images"),
        (Leaving, "leaves a gradient behind in shift"),
        (Attached, "keep a gradient's graph"),
        (Unfrozen, "is not frozen"),
        (Misfit, "preset strong"),
        (int, "is not a ProtectionMethod"),
    ],
)
def test_each_way_to_break_it_is_named(cls, said):
    with pytest.raises(FacecloakError, match=said):
        check_method(cls)


def test_a_method_that_does_nothing_keeps_it():
    check_method(Method)
