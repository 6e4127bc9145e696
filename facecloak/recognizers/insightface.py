"""Recognizers of insightface's packs (Deng et al. 2019), which many products use: ONNX files, fetched as a pack."""

from __future__ import annotations

from pathlib import Path

from facecloak.assets import asset_folder, find_asset, list_assets
from facecloak.io import sha256
from facecloak.recognizers.base import Recognizer
from facecloak.recognizers.onnx import Sidecar, load_onnx

PREFIX = "insightface:"
SIDE, DIM = 112, 512  # pixels that they take, numbers that they give


class InsightFace:
    """The family of the packs, each named ``insightface:PACK`` and meaning the pack's recognizer."""

    kind = "insightface"

    def names(self) -> list[str]:
        """Names of the packs in the table of assets."""
        return [name for name in list_assets() if name.startswith(PREFIX)]

    def asset(self, name: str) -> str:
        """The asset of the pack, which has the recognizer's name."""
        return name

    def licence(self, name: str) -> str:
        """Licence of the pack."""
        return find_asset(name).licence

    def file(self, name: str) -> Path:
        """The ONNX file of the recognizer in the pack; `FacecloakError` if the pack is not here."""
        folder = asset_folder(name)
        return next(folder.glob(find_asset(name).holds[0]))

    def load(self, name: str, differentiable: bool) -> Recognizer:
        """The recognizer; these take (v - 127.5) / 127.5 of RGB, as insightface's own ArcFaceONNX feeds them."""
        file = self.file(name)
        sidecar = Sidecar(file, name, sha256(file), SIDE, 127.5, 127.5, False, DIM, self.licence(name))
        return load_onnx(sidecar, differentiable)
