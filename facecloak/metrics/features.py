"""The feature networks of the Fréchet and kernel distances, by name.

Each maps uint8 (N, 3, H, W) to (N, num_features) float32 and says in `convention` what it does on the way.
The distance is called FID only where `is_fid` is True, else "fd_" and the network's name.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from facecloak.assets import asset_folder, is_here
from facecloak.errors import FacecloakError
from facecloak.io import sha256
from facecloak.recognizers import weight_folders
from facecloak.registry import Registry

FEATURES = Registry(
    "feature network",
    {
        "mtcnn": "facecloak.metrics.features:MtcnnFeatures",
        "inception": "facecloak.metrics.features:InceptionFeatures",
        "pocket": "facecloak.pocket.features:PocketFeatures",
    },
)

# One file under two names: torch-fidelity's and pytorch-fid's
INCEPTION_FILES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


def checked_images(images: Tensor) -> Tensor:
    """The images, if they are uint8 N×3×H×W; else `FacecloakError`."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise FacecloakError(f"Feature networks take uint8 N×3×H×W, got {images.dtype} of shape {tuple(images.shape)}.")
    return images


class MtcnnFeatures(nn.Module):
    """A face detector's features: MTCNN's output network (Zhang et al. 2016), from the facenet-pytorch wheel.

    Always available and quick, for runs without FID's network. It knows faces, and looks at 48×48 pixels: it
    misses fine texture, and its distance (`fd_mtcnn`) is not an FID and can only be compared with itself.
    """

    name = "mtcnn"
    num_features = 256
    is_fid = False
    convention = (
        "MTCNN ONet of facenet-pytorch, layer dense5 after prelu5 (256-d), whole RGB image resized to 48×48 "
        "(bilinear, antialias, no rounding), (x - 127.5) / 128"
    )

    def __init__(self) -> None:
        super().__init__()
        from facenet_pytorch.models.mtcnn import ONet

        self.onet = ONet().requires_grad_(False)
        # The heads come last: without them ONet's own forward, transposes and all, returns what prelu5 gives
        self.onet.dense6_1 = self.onet.dense6_2 = self.onet.dense6_3 = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, H, W) → (N, 256) float32; `FacecloakError` for anything else."""
        small = nn.functional.interpolate(
            checked_images(images).float(), size=(48, 48), mode="bilinear", align_corners=False, antialias=True
        )
        return self.onet((small - 127.5) * 0.0078125)[0]


class InceptionFeatures(nn.Module):
    """FID's network: InceptionV3 with the weights of the original TensorFlow graph (Heusel et al. 2017).

    Raises:
        FacecloakError: torch-fidelity or the weights file is missing, or the file is damaged.
    """

    name = "inception"
    num_features = 2048
    is_fid = True
    convention = (
        "FID InceptionV3 (2015-12-05), pool3 (2048-d), whole RGB image resized to 299×299 as torchmetrics "
        "does (bilinear, antialias, no rounding), (x - 128) / 128"
    )

    def __init__(self) -> None:
        super().__init__()
        path = _inception_file()
        from torchmetrics.image.fid import NoTrainInceptionV3

        self.inception = NoTrainInceptionV3(
            name="inception-v3-compat",
            features_list=["2048"],
            feature_extractor_weights_path=str(path),
            antialias=True,
        )

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, H, W) → (N, 2048) float32; `FacecloakError` for anything else."""
        return self.inception(checked_images(images))


def features_asset(name: str) -> str | None:
    """The asset that a feature network needs, or None: its weights are shipped, here, or could not be used anyway.

    Example:
        >>> features_asset("pocket") is None
        True
    """
    if name != "inception" or find_spec("torch_fidelity") is None or _found_inception():
        return None
    return "inception"


def _found_inception() -> Path | None:
    folders = [*weight_folders(), *([asset_folder("inception")] if is_here("inception") else [])]
    return next((file for folder in folders for name in INCEPTION_FILES if (file := folder / name).is_file()), None)


def _inception_file() -> Path:
    path, folders = _found_inception(), weight_folders()
    remedy = (
        f"run `facecloak fetch inception`, or put {INCEPTION_FILES[0]} (or {INCEPTION_FILES[1]}) from "
        f"https://github.com/toshas/torch-fidelity/releases into {folders[0]}, and `pip install torch-fidelity`."
    )
    if path is None:
        raise FacecloakError(f"The feature network 'inception' lacks its weights: {remedy}")
    if find_spec("torch_fidelity") is None:
        raise FacecloakError(f"The feature network 'inception' lacks the package torch-fidelity: {remedy}")
    # Checked before loading: the file is a pickle, which torch-fidelity would execute
    if sha256(path) != INCEPTION_SHA256:
        raise FacecloakError(f"{path}: not FID's network (its SHA-256 is another). To fix it, {remedy}")
    return path
