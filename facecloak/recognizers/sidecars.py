"""Recognizers that are ONNX files in a weight folder, each beside a JSON sidecar that describes it."""

from __future__ import annotations

from pathlib import Path

from facecloak.errors import FacecloakError
from facecloak.recognizers.base import Recognizer
from facecloak.recognizers.checkpoints import POOL, weight_folders
from facecloak.recognizers.dlib_resnet import DLIB
from facecloak.recognizers.onnx import load_onnx, read_sidecar


class Sidecars:
    """The family of the ONNX files that users put into a weight folder."""

    kind = "onnx"

    def names(self) -> list[str]:
        """Names of the recognizers, which are those of the sidecars."""
        return [*self._files()]

    def asset(self, name: str) -> None:
        """No asset: users bring these files."""

    def licence(self, name: str) -> str:
        """Licence of the weights, as the sidecar says."""
        return read_sidecar(self._files()[name]).licence

    def file(self, name: str) -> Path:
        """The ONNX file; `FacecloakError` if it is missing."""
        sidecar = self._files()[name]
        if not (file := read_sidecar(sidecar).path).is_file():
            raise FacecloakError(
                f"Recognizer {name!r} needs {file.name}: get it from where {sidecar} came from, and put it into "
                f"{sidecar.parent}."
            )
        return file

    def load(self, name: str, differentiable: bool) -> Recognizer:
        """The recognizer, as a black box of insightface or as a copy by onnx2torch."""
        self.file(name)
        return load_onnx(read_sidecar(self._files()[name]), differentiable)

    def _files(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in weight_folders():
            for file in sorted(folder.glob("*.json")):
                if file.stem in (*POOL, DLIB):
                    raise FacecloakError(f"{file}: {file.stem!r} is a built-in recognizer; rename the sidecar.")
                found.setdefault(file.stem, file)
        return found
