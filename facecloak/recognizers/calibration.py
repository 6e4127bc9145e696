"""Calibration: a recognizer's thresholds measured under one crop, stored as data, and looked up again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from facecloak.config import far_key
from facecloak.errors import FacecloakError
from facecloak.io import read_json
from facecloak.recognizers.base import Recognizer
from facecloak.recognizers.thresholds import (
    area_under_curve,
    bootstrap_interval,
    cosine_matrix,
    pair_indices,
    threshold_at,
)

FARS = (0.1, 0.01, 0.001)
MIN_FALSE_ACCEPTS = 10  # below this, one pair more or less moves the threshold too far


@dataclass(frozen=True)
class Side:
    """One side of the pairs: embeddings N×D, and for each photo the person it shows and its id."""

    embeddings: ArrayLike
    identities: Sequence[str]
    photos: Sequence[str]


def calibrate(
    recognizer: Recognizer,
    a: Side,
    b: Side,
    *,
    pairs: str,
    crop: Any,
    date: str,
    fars: Sequence[float] = FARS,
    decimals: int | None = None,
) -> dict[str, Any]:
    """Set a recognizer's thresholds, as the entry that is stored in the suite's file of thresholds.

    All pairs of a photo of `a` with a photo of `b` are taken, or with one set on both sides all pairs within
    it. Pairs of different people set the thresholds; pairs of different photos of one person, where there
    are any, add the area under the curve (`auc`) and per FAR the true accept rate (`tar`).

    Args:
        pairs: the name of the set of pairs.
        crop: how the faces were cropped, as plain JSON values.
        date: ISO 8601.
        decimals: to round the thresholds to; None: not rounded.

    Raises:
        FacecloakError: too few pairs for one of the FARs.
    """
    same = list(a.photos) == list(b.photos)
    cosines = cosine_matrix(a.embeddings, b.embeddings)
    different = np.asarray(a.identities)[:, None] != np.asarray(b.identities)
    rows, columns = pair_indices(different, same)
    _refuse_unresolved(pairs, len(rows), fars)
    scores = cosines[rows, columns]
    first, second = np.asarray(a.identities)[rows], np.asarray(b.identities)[columns]
    thresholds = [_rounded(threshold_at(scores, far), decimals) for far in fars]
    intervals = bootstrap_interval(scores, first, second, fars)
    points = {
        far_key(far): {"threshold": threshold, "low": float(low), "high": float(high)}
        for far, threshold, (low, high) in zip(fars, thresholds, intervals, strict=True)
    }
    entry = {
        "recognizer": recognizer.name,
        "weights_sha256": recognizer.weights_sha256,
        "source": "measured",
        "fars": points,
        "n_pairs": len(scores),
        "n_identities": len(np.union1d(first, second)),
        "pairs": pairs,
        "pairs_sha256": _pairs_hash(pairs, a, b, rows, columns),
        "crop": crop,
        "date": date,
    }
    other_photo = np.asarray(a.photos)[:, None] != np.asarray(b.photos)
    genuine = cosines[pair_indices(~different & other_photo, same)]
    if genuine.size:
        entry["auc"] = area_under_curve(genuine, scores)
        for point in points.values():
            point["tar"] = float(np.mean(genuine > point["threshold"]))
    return entry


def _rounded(threshold: float, decimals: int | None) -> float:
    return threshold if decimals is None else round(float(threshold), decimals)


def _refuse_unresolved(pairs: str, count: int, fars: Sequence[float]) -> None:
    for far in fars:
        if count * far < MIN_FALSE_ACCEPTS:
            raise FacecloakError(
                f"{pairs}: {count} impostor pairs cannot resolve a false accept rate of {far:g}; "
                f"at least {round(MIN_FALSE_ACCEPTS / far)} are needed."
            )


def _pairs_hash(pairs: str, a: Side, b: Side, rows: np.ndarray, columns: np.ndarray) -> str:
    """Hash of the photos' sorted ids and of the sorted pairs of their places among them (little-endian int64).

    It does not depend on which side a photo is on, and needs no string for each of millions of pairs.
    """
    names, places = np.unique([*map(str, a.photos), *map(str, b.photos)], return_inverse=True)
    first, second = places[: len(a.photos)][rows], places[len(a.photos) :][columns]
    listed = np.sort(np.minimum(first, second) * len(names) + np.maximum(first, second)).astype("<i8")
    if (listed[1:] == listed[:-1]).any():
        raise ValueError(f"{pairs}: both sides share photos, so that pairs would count twice")
    return hashlib.sha256(json.dumps(names.tolist()).encode() + listed.tobytes()).hexdigest()


def load_thresholds(path: str | Path) -> dict[str, dict[str, Any]]:
    """Read a suite's thresholds: recognizer → entry, as `calibrate` makes them.

    Published thresholds have ``weights_sha256`` null, ``source`` reported, and need no interval.

    Raises:
        FacecloakError: the file is missing or damaged, or an entry is not one.
    """
    table = read_json(path)
    if not isinstance(table, dict):
        raise FacecloakError(f"{path}: expected a mapping of recognizers to thresholds.")
    for name, entry in table.items():
        try:
            numbers = [point["threshold"] for point in entry["fars"].values()]
            entry["weights_sha256"], entry["source"]
        except (AttributeError, KeyError, TypeError):
            numbers = [None]
        if not all(isinstance(number, (int, float)) for number in numbers):
            raise FacecloakError(f"{path}: {name!r} needs weights_sha256, source and a threshold per FAR.")
    return table


def lookup(
    table: Mapping[str, dict[str, Any]], name: str, weights_sha256: str | None, fars: Sequence[float], calibration: str
) -> dict[str, Any]:
    """The entry of a recognizer, which must have been made with the same weights that are used.

    Args:
        calibration: the arguments of `facecloak calibrate` that would make it, for error messages.

    Raises:
        FacecloakError: no entry, or none for one of the FARs, or other weights.
    """
    advice = f"run `facecloak calibrate {calibration}`."
    entry = table.get(name)
    if entry is None:
        raise FacecloakError(f"Recognizer {name!r} has no thresholds: {advice}")
    if missing := [far_key(far) for far in fars if far_key(far) not in entry["fars"]]:
        raise FacecloakError(f"Recognizer {name!r} has no threshold at FAR {', '.join(missing)}: {advice}")
    if entry["weights_sha256"] not in (None, weights_sha256):
        raise FacecloakError(
            f"The thresholds of {name!r} were made with other weights "
            f"({entry['weights_sha256']}, present {weights_sha256}): {advice}"
        )
    return entry
