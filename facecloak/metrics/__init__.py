"""What the harness measures: success, identification, picture quality, distances between sets of pictures.

Each measure is a pure function and a thin `torchmetrics.Metric` that adds it up over batches and processes.
"""

from importlib import import_module
from typing import Any

# Imported when first used: torchmetrics takes seconds to import
_EXPORTS = {
    "ProtectionSuccessRate": "psr",
    "successes": "psr",
    "wilson_interval": "statistics",
    "bootstrap_mean": "statistics",
    "pareto_front": "statistics",
    "Identification": "identification",
    "rank_of": "identification",
    "PSNR": "quality",
    "SSIM": "quality",
    "lpips_network": "perceptual",
    "perceptual_distance": "perceptual",
    "psnr": "quality",
    "ssim": "quality",
    "FrechetDistance": "feature_distances",
    "KernelDistance": "feature_distances",
    "frechet_distance": "frechet",
    "kernel_distance": "frechet",
    "FEATURES": "features",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
