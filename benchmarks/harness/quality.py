"""Picture quality of a set of protected photos against their sources."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.results.distances import Features
from benchmarks.results.schema import none_if_nan
from facecloak.data import Photo
from facecloak.errors import FacecloakError
from facecloak.metrics import FEATURES, psnr, ssim
from facecloak.metrics.perceptual import lpips_network, perceptual_distance
from facecloak.pocket.perceptual import PocketPerceptual


class Quality:
    """PSNR, SSIM, perceptual distances, and the features from which Fréchet distances are computed.

    LPIPS is measured if its backbone is there. Where the feature network is pocket's, that network's own perceptual
    distance is measured as well, always: it is another measure, in another column, so the two are never mixed up.

    Args:
        features: name of the feature network.
        device: device of the feature network.
    """

    def __init__(self, features: str, device: torch.device | str = "cpu") -> None:
        self._name, self._device = features, device
        networks = {"lpips": lpips_network(), "pocket_perceptual": PocketPerceptual() if features == "pocket" else None}
        self._perceptual = {name: network for name, network in networks.items() if network is not None}
        self._sources: dict[bytes, np.ndarray] = {}  # features by pixels: many protections are of the same photos

    @cached_property
    def _network(self) -> nn.Module | FacecloakError:
        """The feature network, or why it cannot be loaded."""
        try:
            return FEATURES[self._name]().to(self._device)
        except FacecloakError as error:
            return error

    @property
    def available(self) -> list[str]:
        """The measures that are available here; with others available, measurements are made again."""
        network = [] if isinstance(self._network, FacecloakError) else [self._network.name]
        return [*network, *self._perceptual]

    @property
    def note(self) -> str | None:
        """What cannot be measured, and why."""
        return f"distances not measured: {self._network}" if isinstance(self._network, FacecloakError) else None

    def measure(self, protected: Photo, source: Photo) -> dict[str, Any]:
        """``psnr`` (dB, None if identical), ``identical``, ``ssim`` and the perceptual distances of a pair.

        These are ``lpips`` and ``pocket_perceptual``, each only if it can be measured.
        """
        pair = [_pixels([photo]) for photo in (protected, source)]
        values = {
            "psnr": none_if_nan(float(psnr(*pair))),
            "identical": bool((pair[0] == pair[1]).all()),
            "ssim": float(ssim(*pair)),
        }
        perceptual = self._perceptual.items()
        return values | {name: float(perceptual_distance(network, *pair)) for name, network in perceptual}

    @torch.no_grad()
    def features(self, protected: list[Photo], sources: list[Photo]) -> Features | None:
        """Features of both sets; None if there are no photos or the network cannot be loaded."""
        if isinstance(self._network, FacecloakError) or not protected:
            return None
        pixels = _pixels(sources)
        key = hashlib.sha256(pixels.numpy().tobytes()).digest()
        if key not in self._sources:
            self._sources[key] = self._embed(pixels)
        sides = self._embed(_pixels(protected)), self._sources[key]
        network = self._network
        return Features(*sides, {"network": network.name, "convention": network.convention, "is_fid": network.is_fid})

    def _embed(self, pixels: Tensor) -> np.ndarray:
        """Features N×D of uint8 N×3×H×W."""
        return torch.cat([self._network(part.to(self._device)).cpu() for part in pixels.split(64)]).numpy()


def _pixels(photos: list[Photo]) -> Tensor:
    """uint8 N×3×H×W."""
    return torch.from_numpy(np.stack([photo.image for photo in photos])).permute(0, 3, 1, 2)
