"""Picture quality of a set of protected photos against their sources."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.results.schema import ALONE, none_if_nan
from facecloak.data import Photo
from facecloak.errors import FacecloakError
from facecloak.metrics import FEATURES, PSNR, SSIM, FrechetDistance, KernelDistance
from facecloak.metrics.quality import lpips, lpips_metric


class Quality:
    """PSNR, SSIM, LPIPS where its backbone is there, Fréchet and kernel distance.

    Args:
        features: name of the feature network of the distances.
    """

    def __init__(self, features: str) -> None:
        self._features = features
        self._lpips = lpips_metric()

    @cached_property
    def network(self) -> nn.Module:
        """The feature network; `FacecloakError` if its weights are missing."""
        return FEATURES[self._features]()

    @cached_property
    def available(self) -> list[str]:
        """What can be measured here, to tell judgements apart that could measure more."""
        try:
            return [self.network.name, *(["lpips"] if self._lpips else [])]
        except FacecloakError:
            return ["lpips"] if self._lpips else []

    def measure(self, protected: dict[str, Photo], sources: dict[str, Photo], records: list[dict]) -> dict[str, Any]:
        """The columns of the whole set; each image's own values are added to its record.

        Args:
            protected: name → protected photo, of the size of its source.
        """
        psnr, ssim, perceptual = PSNR(**ALONE), SSIM(**ALONE), []
        for record in records:
            if record["id"] in protected:
                pair = [_pixels([photos[record["id"]]]) for photos in (protected, sources)]
                record["psnr"] = none_if_nan(psnr(*pair)["psnr"])
                record["identical"] = bool((pair[0] == pair[1]).all())
                record["ssim"] = float(ssim(*pair))
                if self._lpips:
                    record["lpips"] = float(lpips(self._lpips, *pair))
                    perceptual.append(record["lpips"])
        if not protected:
            return {}
        columns = {name: none_if_nan(value) for name, value in psnr.compute().items()}
        columns |= {"ssim": none_if_nan(ssim.compute()), "lpips": float(np.mean(perceptual)) if perceptual else None}
        return columns | self._distances([*protected.values()], [sources[name] for name in protected])

    @torch.no_grad()
    def _distances(self, protected: list[Photo], sources: list[Photo]) -> dict[str, Any]:
        if len(protected) < 2:
            return {}
        try:
            network = self.network
        except FacecloakError as error:
            return {"note": f"distances not measured: {error}"}
        frechet, kernel = FrechetDistance(**ALONE), KernelDistance(**ALONE)
        for photos, real in ((protected, False), (sources, True)):
            features = torch.cat([network(part) for part in _pixels(photos).split(64)])
            frechet.update(features, real)
            kernel.update(features, real)
        names = ("fid", "kid") if network.is_fid else ("fd", "kd")
        values = (none_if_nan(float(metric.compute())) for metric in (frechet, kernel))
        how = {"n_fid": len(protected), "fd_network": network.name, "fid_convention": network.convention}
        return dict(zip(names, values, strict=True)) | how


def _pixels(photos: list[Photo]) -> Tensor:
    """uint8 N×3×H×W."""
    return torch.from_numpy(np.stack([photo.image for photo in photos])).permute(0, 3, 1, 2)
