"""Fréchet and kernel distances between all pictures of a method and the photos that they were made from.

The pictures for one target are too few for a distance, so the pictures of one method under one judge are pooled over
targets. With fewer than `MINIMUM` pictures no distance is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from benchmarks.results.schema import none_if_nan
from facecloak.errors import FacecloakError
from facecloak.io import write_bytes
from facecloak.metrics.frechet import frechet_distance, kernel_distance

MINIMUM = 20  # with fewer pictures, a distance says more about their number than about the method
FILE = "features.safetensors"


class Features(NamedTuple):
    """Features of a protection's pictures by a feature network.

    Attributes:
        protected, sources: N×D of the protected pictures and of their source photos.
        about: ``network``, ``convention`` and ``is_fid``.
    """

    protected: np.ndarray
    sources: np.ndarray
    about: dict[str, Any]


def write_features(protection: Path, features: Features) -> None:
    """Store a protection's features, atomically; the same features give the same bytes."""
    arrays = {"protected": features.protected, "sources": features.sources}
    arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    write_bytes(protection / FILE, save(arrays, {"about": json.dumps(features.about, sort_keys=True)}))


def read_features(protection: Path) -> Features | None:
    """A protection's features; None if they were not measured.

    Raises:
        FacecloakError: the file is damaged, or contains values that are not finite.
    """
    path = protection / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["about"])
            features = Features(file.get_tensor("protected"), file.get_tensor("sources"), about)
        if not _has_form(features):
            raise ValueError("not features of two sets of pictures")
        return features
    except Exception as error:  # safetensors raises classes of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FacecloakError(f"{path}: damaged ({reason}). Delete it and judge the run again.") from None


def _has_form(features: Features) -> bool:
    sides, about = (features.protected, features.sources), features.about
    return (
        sides[0].ndim == 2
        and sides[0].shape == sides[1].shape
        and all(np.isfinite(side).all() for side in sides)
        and isinstance(about, dict)
        and [type(about.get(part)) for part in ("network", "convention", "is_fid")] == [str, str, bool]
    )


def pooled_distances(protections: Iterable[Path]) -> dict[str, Any]:
    """The distance columns of several protections together; empty if they cannot be compared or are too few.

    Args:
        protections: folders of protections of one method under one judge, one for each target.
    """
    return dict(_pooled(tuple((protection, _version(protection)) for protection in sorted(protections))))


def _version(protection: Path) -> tuple[int, int] | None:
    """What changes when a protection's features are written again; None if there are none."""
    try:
        found = (protection / FILE).stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=4096)  # judges with the same surrogates share their pictures
def _pooled(protections: Sequence[tuple[Path, tuple[int, int] | None]]) -> tuple[tuple[str, Any], ...]:
    found = [read_features(protection) for protection, _ in protections]
    if any(features is None for features in found) or len({features.about["network"] for features in found}) != 1:
        return ()
    protected, sources = (np.concatenate([getattr(each, side) for each in found]) for side in ("protected", "sources"))
    about, n = found[0].about, len(protected)
    how = {"n_fid": n, "fd_network": about["network"], "fid_convention": about["convention"]}
    if n < MINIMUM:
        return tuple(how.items())
    names = ("fid", "kid") if about["is_fid"] else ("fd", "kd")
    values = (none_if_nan(distance(sources, protected)) for distance in (frechet_distance, kernel_distance))
    return tuple({**dict(zip(names, values, strict=True)), **how}.items())
