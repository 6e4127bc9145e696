"""The contract of methods and recognizers: ours fulfil it, and each way to break it is named."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from benchmarks import METHODS
from benchmarks.suites.suite import load_suite
from facecloak.errors import FacecloakError
from facecloak.method import NoSettings, Protected, ProtectionMethod
from facecloak.recognizers import Recognizer
from facecloak.testing import check_method, check_recognizer
from tests.facecloak.cloak.pipeline import save_pipeline
from tests.reference.models import random_tiny_vae

FEW = {
    "facecloak": {"iterations": 1, "embedding_iterations": 1, "steps": 4, "start_step": 2},
    "facecloak:fast": {"iterations": 2},
    "adv_diffusion": {"steps": 2, "face": 0.75},
    "hspace": {"embedding_iterations": 0, "iterations": 1},
    "diffprivate": {"caption": "a a", "perceptual": "pocket", "embedding_iterations": 0, "iterations": 1,
                    "start_step": 19},
    "diffaim": {"perceptual": "pocket", "steps": 20, "start_step": 19, "iterations": 1, "copies": 2},
    "pgd": {"iterations": 2}, "mi_fgsm": {"iterations": 2}, "ti_dim": {"iterations": 2}, "tip_im": {"iterations": 2},
    "lowkey": {"iterations": 1, "perceptual": "pocket"}, "fawkes": {"iterations": 2},
    "opom": {"iterations": 1}, "chameleon": {"epochs": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[str, str]:
    """The smallest diffusion model and its tiny decoder, with random weights."""
    folder = tmp_path_factory.mktemp("small")
    save_pipeline(folder / "pipeline")
    random_tiny_vae().save_pretrained(folder / "tiny")
    return {"backbone": str(folder / "pipeline"), "tiny_decoder": str(folder / "tiny")}


@pytest.mark.parametrize("name", [name for name in METHODS if not METHODS[name].stages(METHODS[name].Settings())])
def test_our_methods_keep_the_contract(name, small):
    own = {key: value for key, value in small.items() if hasattr(METHODS[name].Settings, key)}
    check_method(METHODS[name], FEW.get(name, {}) | own)


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


class Keeping(Method):
    """Keeps what it has computed from the surrogates, whatever they are later."""

    uses_surrogates = True

    def __init__(self, settings, objective=None):
        super().__init__(settings, objective)
        self.kept = None

    def protect(self, batch):
        if self.kept is None:
            self.kept = len(self.objective.embed(batch.images, batch.boxes))
        return Protected(batch.images / self.kept, [None] * len(batch.ids))


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
        (Hiding, "an image of NaN is not reported as an error"),
        (FewErrors, "returned 1 errors for 4 images"),
        (Leaving, "leaves a gradient behind in shift"),
        (Attached, "keep a gradient's graph"),
        (Keeping, "with another objective, an image gives another result"),
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


@pytest.mark.parametrize("name", load_suite("pocket").recognizers)
def test_our_recognizers_keep_their_contract(name):
    check_recognizer(name)


class Numbers(torch.nn.Module):
    """A network that averages colours, with a fault."""

    def __init__(self, fault):
        super().__init__()
        self.fault, self.weight = fault, torch.nn.Parameter(torch.ones(1))

    def forward(self, faces):
        found = torch.nn.functional.avg_pool2d(faces, faces.shape[-1] // 8).flatten(1) * self.weight
        if self.fault == "nan":
            return found * torch.nan
        if self.fault == "batch":
            return found - found.mean(0)
        if self.fault == "random":
            return found + torch.rand_like(found)
        if self.fault == "shape":
            return found[:2]
        if self.fault == "same":
            return torch.ones_like(found) * self.weight
        return found.detach() if self.fault == "detached" else found


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("nan", "not finite"),
        ("batch", "in a batch than alone"),
        ("random", "the same call twice"),
        ("shape", r"gives \(2, "),
        ("same", "not more alike"),
        ("detached", "gives no gradient"),
    ],
)
def test_each_fault_of_a_recognizer_is_named(fault, said):
    with pytest.raises(FacecloakError, match=said):
        check_recognizer(Recognizer(Numbers(fault), "numbers", 64, None))


def test_a_network_that_is_trained_along_is_named():
    recognizer = Recognizer(Numbers(""), "numbers", 64, None)
    recognizer.network.weight.requires_grad_(True)
    with pytest.raises(FacecloakError, match="weight takes a gradient"):
        check_recognizer(recognizer)
