"""What a suite file may say beyond the types of its values: rules between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.suites.spec import NOT_PLAIN, is_box, is_plain_name
from facecloak.errors import FacecloakError
from facecloak.faces import whole_pixels
from facecloak.metrics import FEATURES
from facecloak.registry import unknown_name

if TYPE_CHECKING:
    from benchmarks.suites.suite import Suite

LARGEST_IMAGE = 16384  # pixels
FOUND = ("mtcnn", "arcface")  # crops that a detector finds in each photo
CALIBRATE = "calibrate"  # as `thresholds`: they are measured where the weights are, once, and kept in the cache


def check_suite(suite: Suite, path: Path) -> None:
    """Raise `FacecloakError` for the first value that cannot be, with its place; nothing needs to be here for that."""
    calibration = suite.calibration.faults("calibration") if suite.calibration else ()
    for fault in (*suite.sources.faults("sources"), *suite.targets.faults("targets"), *calibration):
        raise FacecloakError(f"{path}: {fault}.")
    names, groups = suite.target_names(), suite.sources.groups or {}
    rules = {
        f"the name {suite.name!r} {NOT_PLAIN}": is_plain_name(suite.name),
        f"image_size must be between 1 and {LARGEST_IMAGE}": 0 < suite.image_size <= LARGEST_IMAGE,
        "recognizers must have two or more names, each once": len(set(suite.recognizers)) == len(suite.recognizers) > 1,
        "held_out must leave at least two recognizers, which judge each other": not suite.held_out
        or len(set(suite.recognizers) - set(suite.held_out)) > 1,
        "surrogates and held_out must not share a name": set(suite.surrogates or []).isdisjoint(suite.held_out),
        "surrogates, held_out, default_targets and default_methods must have each name only once": all(
            len(set(each)) == len(each)
            for each in (suite.surrogates or [], suite.held_out, suite.default_targets, suite.default_methods)
        ),
        "crop must be mtcnn, arcface or [x0, y0, x1, y1] with x0 < x1 and y0 < y1, inside the image": (
            suite.crop in FOUND
        )
        or (isinstance(suite.crop, list) and is_box(suite.crop) and _is_in_image(suite.crop, suite.image_size)),
        "detect can be false only with a fixed crop": suite.detect or suite.crop not in FOUND,
        "thresholds must name a file": bool(suite.thresholds),
        "thresholds: calibrate needs calibration, whose people set them": suite.thresholds != CALIBRATE
        or suite.calibration is not None,
        "each group of sources must have the name of a target": set(groups) <= set(names),
        "fars must be between 0 and 1, each only once": bool(suite.fars)
        and all(0 < far < 1 for far in suite.fars)
        and len({f"{far:g}" for far in suite.fars}) == len(suite.fars),  # the form in which they are looked up
        "batch_size must be at least 1": suite.batch_size > 0,
        "default_limit must be at least 1": suite.default_limit is None or suite.default_limit > 0,
    }
    for rule, holds in rules.items():
        if not holds:
            raise FacecloakError(f"{path}: {rule}.")
    for key in ("default_methods", "tuned"):
        for method in getattr(suite, key):
            if method not in suite.methods:
                raise unknown_name(f"method in {path}, {key}", method, suite.methods)
    for recognizer in suite.held_out:
        if recognizer not in suite.recognizers:
            raise unknown_name(f"recognizer in {path}, held_out", recognizer, suite.recognizers)
    for target in suite.default_targets:
        if target not in names:
            raise unknown_name(f"target in {path}", target, names)
    if suite.features not in FEATURES:
        raise unknown_name(f"feature network in {path}", suite.features, FEATURES)


def _is_in_image(box: Sequence[float], size: int) -> bool:
    try:
        whole_pixels(box, size, size)
    except FacecloakError:
        return False
    return True
