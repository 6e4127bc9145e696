"""Recognizers of insightface's packs (Deng et al. 2019), which many products use: ONNX files, fetched as a pack."""

from __future__ import annotations

from pathlib import Path

from facecloak.assets import asset_folder, find_asset
from facecloak.errors import FacecloakError
from facecloak.io import sha256
from facecloak.recognizers.base import Recognizer
from facecloak.recognizers.fetched import Fetched
from facecloak.recognizers.onnx import Sidecar, load_onnx

SIDE, DIM = 112, 512  # pixels that they take, numbers that they give


class InsightFace(Fetched):
    """The family of the packs, each named ``insightface:PACK`` and meaning the pack's recognizer."""

    def __init__(self) -> None:
        super().__init__("insightface")

    def file(self, name: str) -> Path:
        """The ONNX file of the recognizer in the pack; `FacecloakError` if the pack is not here."""
        folder, patterns = asset_folder(name), find_asset(name).holds or ["**/*.onnx"]
        file = next(folder.glob(patterns[0]), None)
        if file is None:
            raise FacecloakError(f"{folder}: no {patterns[0]} in it.")
        return file

    def load(self, name: str, differentiable: bool) -> Recognizer:
        """The recognizer; these take (v - 127.5) / 127.5 of RGB, as insightface's own ArcFaceONNX feeds them."""
        file = self.file(name)
        sidecar = Sidecar(file, name, sha256(file), SIDE, 127.5, 127.5, False, DIM, self.licence(name))
        return load_onnx(sidecar, differentiable)
