"""dlib's recognizer (King 2017), which many hobby and office tools use: a black box that Python packages bring.

``pip install 'facecloak[dlib]'`` installs dlib-bin and face-recognition-models; the weights are in the public domain.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facecloak.assets import find_asset
from facecloak.errors import FacecloakError
from facecloak.io import sha256
from facecloak.recognizers.base import Recognizer

DLIB = "dlib"  # its name
SIDE, PADDING = 150, 0.25  # pixels of the aligned face that the network takes, and its margin, as in its training
INSET = 0.1  # of the crop: where the landmarks are looked for
NETWORK, LANDMARKS = "dlib_face_recognition_resnet_model_v1.dat", "shape_predictor_5_face_landmarks.dat"


def dlib_file(name: str = NETWORK) -> Path:
    """A file of face-recognition-models.

    Raises:
        FacecloakError: one of the two packages is not installed.
    """
    spec = find_spec("face_recognition_models")  # not imported: it needs pkg_resources, which setuptools has removed
    folders = [] if spec is None or find_spec("dlib") is None else [*(spec.submodule_search_locations or ())]
    for folder in folders:
        if (file := Path(folder, "models", name)).is_file():
            return file
    raise FacecloakError("Recognizer 'dlib' needs two packages: pip install 'facecloak[dlib]'.")


class DlibNetwork(nn.Module):
    """N×3×150×150 faces in 0..255 → N×128, without a gradient.

    As in dlib's own tools, each face is aligned by five landmarks before it is embedded, here within the crop. Without
    that, 40 instead of 92 % of the true pairs of `celeba_hq_pairs` are accepted at FAR 0.01.
    """

    def __init__(self) -> None:
        super().__init__()
        import dlib

        self._dlib = dlib
        self._network = dlib.face_recognition_model_v1(str(dlib_file(NETWORK)))
        self._landmarks = dlib.shape_predictor(str(dlib_file(LANDMARKS)))

    def forward(self, faces: Tensor) -> Tensor:
        crops = faces.detach().round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
        found = [np.asarray(self._network.compute_face_descriptor(self._align(crop))) for crop in crops]
        return torch.from_numpy(np.stack(found)).to(faces)

    def _align(self, crop: np.ndarray) -> np.ndarray:
        margin = round(INSET * SIDE)
        box = self._dlib.rectangle(margin, margin, SIDE - margin, SIDE - margin)
        return self._dlib.get_face_chip(crop, self._landmarks(crop, box), SIDE, PADDING)


class Dlib:
    """The family of dlib's only recognizer."""

    kind = "package"

    def names(self) -> list[str]:
        """Its name."""
        return [DLIB]

    def asset(self, name: str) -> None:
        """No asset is fetched: a package brings the weights."""

    def licence(self, name: str) -> str:
        """Licence of the weights."""
        return find_asset(DLIB).licence

    def file(self, name: str) -> Path:
        """The file of the weights; `FacecloakError` if the packages are not installed."""
        return dlib_file()

    def load(self, name: str, differentiable: bool) -> Recognizer:
        """The recognizer, as a black box; `FacecloakError` if it is to be attacked."""
        file = dlib_file()
        if differentiable:
            raise FacecloakError(
                "Recognizer 'dlib' gives no gradient, so it can only judge: name it under held_out in the suite."
            )
        return Recognizer(DlibNetwork(), DLIB, SIDE, sha256(file), mean=0.0, std=1.0, differentiable=False)
