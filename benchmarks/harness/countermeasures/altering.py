"""Applies countermeasures to a suite's pictures."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import METHODS
from benchmarks.harness.countermeasures import VERSION, Alter, find_countermeasures, generator
from benchmarks.results.store import NO_COUNTERMEASURE
from benchmarks.suites.suite import Suite
from facecloak.cloak.backbone import Backbone, models_sha256
from facecloak.config import parse_settings
from facecloak.data import FindFace, Photo
from facecloak.errors import FacecloakError

KEPT = 2**30  # bytes of altered pictures: several judges need the same ones
MODEL_OF = "facecloak"  # the method whose diffusion model purifies


class Altering:
    """Countermeasures for pictures of a suite; a diffusion model is loaded when it is first needed.

    Args:
        find_face: searches the altered pictures again.
        device: device of the diffusion model.
    """

    def __init__(self, suite: Suite, find_face: FindFace, device: torch.device | str = "cpu") -> None:
        self.suite, self.find_face, self.device = suite, find_face, device
        self._loaded: dict[str, Alter] = {}
        self._kept: OrderedDict[tuple[str, str, bytes], Photo] = OrderedDict()
        self._bytes = 0  # of these

    def __call__(self, countermeasure: str, photos: dict[str, Photo]) -> dict[str, Photo]:
        """The photos after a countermeasure, at the suite's size; a photo without a picture stays as it is.

        Args:
            countermeasure: a name, see `benchmarks.harness.countermeasures`.
            photos: name of the source → photo; the name seeds what is random.
        """
        if countermeasure == NO_COUNTERMEASURE:
            return photos
        return {name: self._altered(countermeasure, name, photo) for name, photo in photos.items()}

    def settings(self, countermeasure: str) -> Any:
        """The settings that name the diffusion model which a countermeasure needs, or None.

        Raises:
            FacecloakError: the suite has no diffusion model.
        """
        if countermeasure == NO_COUNTERMEASURE or not find_countermeasures([countermeasure])[0].family.needs_diffusion:
            return None
        return self._settings

    def fingerprint(self, countermeasure: str) -> list[Any]:
        """What altered pictures depend on besides the pictures; empty without a countermeasure."""
        if countermeasure == NO_COUNTERMEASURE:
            return []
        return [countermeasure, VERSION, self._model_sha256 if self.settings(countermeasure) else None]

    @cached_property
    def _settings(self) -> Any:
        return purifying_settings(self.suite, ["purify0"])

    @cached_property
    def _model_sha256(self) -> str:
        return models_sha256(self._settings.backbone, None)

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone.load(self._settings.backbone, "float32", "float32", None).to(self.device)

    def _altered(self, countermeasure: str, name: str, photo: Photo) -> Photo:
        if photo.image is None:
            return photo
        key = (countermeasure, name, hashlib.sha256(np.ascontiguousarray(photo.image)).digest())
        if key not in self._kept:
            altered = self._kept[key] = self._alter(countermeasure, name, photo.image)
            self._bytes += altered.image.nbytes
            while self._bytes > KEPT and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].image.nbytes
        self._kept.move_to_end(key)
        return self._kept[key]

    def _alter(self, countermeasure: str, name: str, image: np.ndarray) -> Photo:
        if countermeasure not in self._loaded:
            (found,) = find_countermeasures([countermeasure])
            self._loaded[countermeasure] = found.load(self._backbone if found.family.needs_diffusion else None)
        altered, size = self._loaded[countermeasure](image, generator(countermeasure, name)), self.suite.image_size
        if altered.shape[:2] != (size, size):
            altered = np.asarray(Image.fromarray(altered).resize((size, size), Image.Resampling.LANCZOS))
        return Photo(altered, self.find_face(altered))


def purifying_settings(suite: Suite, countermeasures: list[str]) -> Any:
    """The settings of the method whose diffusion model the countermeasures use; None if none of them needs one.

    Raises:
        FacecloakError: the suite has no diffusion model.
    """
    needing = [each.name for each in find_countermeasures(countermeasures) if each.family.needs_diffusion]
    if not needing:
        return None
    if MODEL_OF not in suite.methods:
        raise FacecloakError(
            f"{needing[0]} needs a diffusion model, but suite {suite.name} has none: it has no settings of the method "
            f"{MODEL_OF}. Leave this countermeasure out."
        )
    return parse_settings(METHODS[MODEL_OF].Settings, suite.methods[MODEL_OF], name=MODEL_OF)
