"""How different two pictures look: LPIPS, whose backbone is fetched or put in place, and never downloaded unasked.

A network that is always here, for drawn portraits, is `facecloak.pocket.perceptual.PocketPerceptual`.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics.image.lpip import _NoTrainLpips

from facecloak.assets.store import asset_folder, is_here
from facecloak.errors import FacecloakError
from facecloak.metrics.quality import checked_pair
from facecloak.recognizers.checkpoints import weight_folders

LPIPS_FILE = "alexnet-owt-7be5be79.pth"


def lpips_network() -> nn.Module | None:
    """LPIPS v0.1 with AlexNet (Zhang et al., CVPR 2018), frozen: two N×3×H×W in [-1, 1] → N×1×1×1, 0 if identical.

    The channel weights are those in torchmetrics; AlexNet's are the file that `facecloak fetch lpips` fetches, or that
    is in a folder of weights or in torch.hub's folder of checkpoints.

    Returns:
        None if the file is not here.

    Raises:
        FacecloakError: the file is not AlexNet's.
    """
    file = _lpips_file()
    if file is None:
        return None
    network = _NoTrainLpips(net="alex", pnet_rand=True)
    layers = list(network.net.parameters())
    try:  # not by torchvision, which would unpickle whatever the file holds
        state = torch.load(file, map_location="cpu", weights_only=True)
        weights = [value for name, value in state.items() if name.startswith("features.")]
        if [value.shape for value in weights] != [layer.shape for layer in layers]:
            raise ValueError("its layers have other shapes")
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FacecloakError(
            f"{file}: not the AlexNet of LPIPS ({reason}). Delete it, and `facecloak fetch lpips`."
        ) from None
    with torch.no_grad():
        for layer, value in zip(layers, weights, strict=True):
            layer.copy_(value)
    return network.requires_grad_(False).eval()


def perceptual_distance(network: nn.Module, protected: Tensor, source: Tensor) -> Tensor:
    """A network's distance per image, at the size the images have; lower is better. It is LPIPS only by LPIPS' network.

    Args:
        network: from `lpips_network`, or a `PocketPerceptual`.
        protected, source: uint8 (N, 3, H, W).

    Returns:
        (N,) float32, 0 for identical images.

    Raises:
        FacecloakError: different shapes, or images that are not uint8.
    """
    protected, source = checked_pair(protected, source)
    return network(protected.float() / 127.5 - 1, source.float() / 127.5 - 1).flatten()


def _lpips_file() -> Path | None:
    folders = [*weight_folders(), *([asset_folder("lpips")] if is_here("lpips") else [])]
    folders.append(Path(torch.hub.get_dir()) / "checkpoints")
    return next((file for folder in folders if (file := folder / LPIPS_FILE).is_file()), None)
