"""The recognizers of FRBench (Wang et al., CVPR 2026): 25 backbones, nine losses, three training sets."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facecloak.alignment import SIDE, TEMPLATE
from facecloak.assets import asset_folder, find_asset
from facecloak.config import read_yaml
from facecloak.errors import FacecloakError
from facecloak.io import read_json, sha256
from facecloak.recognizers.base import Recognizer
from facecloak.recognizers.checkpoints import load_weights
from facecloak.recognizers.fetched import Fetched


class FRBench(Fetched):
    """The family of FRBench's recognizers, named ``frbench:BACKBONE_LOSS_DATASET``."""

    def __init__(self) -> None:
        super().__init__("frbench")

    def file(self, name: str) -> Path:
        """The file of the weights; `FacecloakError` if it is not here."""
        return self._files(name)["weight"]

    def load(self, name: str, differentiable: bool) -> Recognizer:
        """The recognizer, built by the package frbench; as a black box and as a surrogate it is the same."""
        files = self._files(name)
        config = read_yaml(files["config"])
        try:
            given = config.get("input") or {}
            size, template = given.get("size", SIDE), given.get("template")
            (side,) = {int(length) for length in ([size] if isinstance(size, int) else size)}  # a square
            mean, std = _three(given.get("mean")), _three(given.get("var", given.get("std")))
            network = _build(config["backbone"]["name"], config["backbone"].get("kwargs") or {})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FacecloakError(f"{files['config']}: not a recognizer's configuration of FRBench ({error}).") from None
        if template is not None and not np.allclose(template, np.array(TEMPLATE) * side / SIDE, atol=1):
            raise FacecloakError(
                f"{files['config']}: {name} was trained on faces that are aligned in another way than the crop arcface."
            )
        load_weights(network, files["weight"])
        return Recognizer(
            _Normalised(network, mean, std), name, side, sha256(files["weight"]), mean=0.0, std=255.0,
            bgr=given.get("channel") == "bgr",
        )  # fmt: skip

    def _files(self, name: str) -> dict[str, Path]:
        folder, release = asset_folder(name), find_asset(name).release
        if release is None:
            raise FacecloakError(f"{name}: the table of assets must list it under `releases`.")
        manifest = asset_folder(release) / "manifest.json"
        try:
            contents = read_json(manifest)[name.removeprefix(self.prefix)]["contents"]
            files = {part: folder / contents[part] for part in ("config", "weight")}
        except (KeyError, TypeError):
            raise FacecloakError(f"{name} is in {folder}, but not in {manifest}: delete one of them.") from None
        for file in files.values():
            if not file.is_file():
                raise FacecloakError(f"{file} is missing: delete {folder}, and run `facecloak fetch {name}`.")
        return files


def _build(name: str, arguments: dict[str, Any]) -> nn.Module:
    os.environ.setdefault("FRBENCH_UPDATE_CHECK", "0")  # else it asks the network for a newer version
    from frbench.backbones import build_backbone

    with torch.random.fork_rng(devices=[]):  # the initial values drawn here must not move the run's seed
        return build_backbone(name, arguments, torch.device("cpu"))


def _three(values: float | Iterable[float] | None) -> list[float]:
    """A number for each channel; FRBench's own default is 0.5."""
    if values is None:
        values = 0.5
    return [float(values)] * 3 if isinstance(values, int | float) else [float(value) for value in values]


class _Normalised(nn.Module):
    """A network behind FRBench's normalisation: N×3×S×S in 0..1, in the network's order of channels."""

    def __init__(self, network: nn.Module, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, faces: Tensor) -> Tensor:
        return self.network((faces - self.mean) / self.std)
