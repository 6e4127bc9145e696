"""Recognizers that were not attacked, and say how similar a face is before and after its protection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness.judge import embed
from benchmarks.results.scoring import HEADLINE_FAR
from benchmarks.suites.rules import CALIBRATE
from benchmarks.suites.suite import Suite, Target
from facecloak.config import far_key
from facecloak.data import Box, FindFace, Photo
from facecloak.io import sha256
from facecloak.recognizers import Recognizer, load_recognizer, weights_file
from facecloak.recognizers.calibration import load_thresholds


class PhotoJudges:
    """Judges of photos. As in a benchmark, the face is searched for again in the protected photo, and the target's
    photo is another one than the attacked one, if there is one.

    Attributes:
        about: judge → ``weights_sha256``, and ``threshold`` at FAR 0.01 (None if the suite has none for it).

    Raises:
        FacecloakError: a recognizer is unknown or missing, or the suite's thresholds were made for other weights.
    """

    def __init__(
        self, suite: Suite, names: Sequence[str], target: Target, find_face: FindFace, device: torch.device
    ) -> None:
        self._find_face, self._device = find_face, device
        self.about: dict[str, dict[str, Any]] = {}
        self._recognizers: dict[str, Recognizer] = {}
        self._targets: dict[str, Tensor] = {}
        for name in names:
            weights = sha256(weights_file(name))
            self.about[name] = {"weights_sha256": weights, "threshold": _threshold(suite, name, weights)}
            self._recognizers[name] = load_recognizer(name, differentiable=False, device=device)
        if names:
            test, box = (target.test, target.test_box) if target.test else (target.image, target.box)
            face = suite.read_face(test, find_face, box)
            self._targets = {name: self._embed(name, face.image, face.box) for name in names}

    def compare(self, before: np.ndarray, after: np.ndarray) -> dict[str, dict[str, Any]]:
        """What each judge says about one face.

        Args:
            before, after: uint8 S×S×3, the square of the face.

        Returns:
            judge → ``detected`` (whether there is a face after), ``cosine_to_original_after``,
            ``cosine_to_target_before`` and ``_after``; ``matches_original`` and ``matches_target`` (after) at FAR 0.01.
            What cannot be said, without a face or a threshold, is None.
        """
        squares = [(image, self._find_face(image)) for image in (before, after)] if self.about else []
        return {name: self._compare(name, *squares) for name in self.about}

    def _compare(self, name: str, *squares: tuple[np.ndarray, Box | None]) -> dict[str, Any]:
        target, threshold = self._targets[name], self.about[name]["threshold"]
        before, after = (None if box is None else self._embed(name, image, box) for image, box in squares)
        to_original, to_target = _cosine(after, before), _cosine(after, target)
        return {
            "detected": after is not None,
            "cosine_to_original_after": to_original,
            "cosine_to_target_before": _cosine(before, target),
            "cosine_to_target_after": to_target,
            "matches_original": _matches(to_original, threshold),
            "matches_target": _matches(to_target, threshold),
        }

    def _embed(self, name: str, image: np.ndarray, box: Box) -> Tensor:
        return embed(self._recognizers[name], [Photo(image, box)], self._device)[0]


def _cosine(one: Tensor | None, other: Tensor | None) -> float | None:
    return None if one is None or other is None else float(one @ other)


def _matches(cosine: float | None, threshold: float | None) -> bool | None:
    return None if cosine is None or threshold is None else cosine > threshold


def _threshold(suite: Suite, name: str, weights_sha256: str) -> float | None:
    file = suite.thresholds_file()
    if suite.thresholds == CALIBRATE and not file.is_file():  # nobody has measured any yet
        return None
    if name not in load_thresholds(file):
        return None
    point = suite.load_thresholds(name, weights_sha256)["fars"].get(far_key(HEADLINE_FAR))
    return point and point["threshold"]
