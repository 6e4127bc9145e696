"""The form of a protection's files, on which all code that reads them relies. Each function says what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.results.records import LARGEST
from facecloak.io import is_photo_name

ABOUT = {"key": str, "key_of": dict, "method": str, "preset": str, "settings": dict, "settings_hash": str, "suite": str,
         "image_size": int, "objective": str, "target": str, "surrogates": list, "weights": dict}  # fmt: skip
CALLED = {str: "a text", int: "a whole number", dict: "a mapping", list: "a list of names"}
OPTIONAL_NUMBER, OPTIONAL_TEXT = (int, float, type(None)), (str, type(None))
OUTCOME = {"error": OPTIONAL_TEXT, "png_sha256": OPTIONAL_TEXT, "source_sha256": OPTIONAL_TEXT,
           "made_by": OPTIONAL_TEXT, "device": OPTIONAL_TEXT, "seconds": OPTIONAL_NUMBER,
           "peak_memory_mb": OPTIONAL_NUMBER, "unet_passes": OPTIONAL_NUMBER}  # fmt: skip


def is_number(value: Any) -> bool:
    """Whether it is a finite number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def protection_problems(about: Any) -> list[str]:
    """What is wrong with the form of a protection.json."""
    if not isinstance(about, dict):
        return ["it is not a protection's description"]
    problems = [
        f"{part} is {about.get(part)!r:.80}, not {CALLED[kind]}"
        for part, kind in ABOUT.items()
        if type(about.get(part)) is not kind
    ]
    names = about.get("surrogates")
    if isinstance(names, list) and not all(isinstance(name, str) for name in names):
        problems.append(f"surrogates is {names!r:.80}, not a list of names")
    albums = about.get("albums", {})  # only of methods that learn from them
    if not isinstance(albums, dict) or not all(isinstance(each, list) for each in albums.values()):
        problems.append(f"albums is {albums!r:.80}, not a list of hashes for each photo")
    elif not all(isinstance(one, str) for each in albums.values() for one in each):
        problems.append("albums has something that is not a hash")
    return problems


def outcome_problem(outcome: Any, name: str) -> str | None:
    """What is wrong with the form of an outcome, or None.

    Args:
        name: name of its file, without .json.
    """
    if not isinstance(outcome, dict):
        return f"it is {outcome!r:.80}, not an outcome"
    if outcome.get("id") != name or not is_photo_name(name):
        return f"id is {outcome.get('id')!r:.80}, not the name of its file"
    for part, kinds in OUTCOME.items():
        if type(outcome.get(part)) not in kinds:
            return f"{part} is {outcome.get(part)!r:.80}, which has the wrong type"
    return None if "error" in outcome else "it does not say whether there was an error"


def measured_problem(content: Any, surrogates: Sequence[str]) -> str | None:
    """What is wrong with the form of a measured.json, or None.

    Args:
        surrogates: names of the protection's surrogates.
    """
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list):
        return "it contains no images"
    for image in images:
        name = image.get("id") if isinstance(image, dict) else None
        if not isinstance(name, str):
            return f"an image is {image!r:.80}, not a mapping with an id"
        if problem := _image_problem(image, surrogates):
            return f"{name}: {problem}"
    names = Counter(image["id"] for image in images)
    twice = next((name for name, times in names.items() if times > 1), None)
    return f"it contains {twice} {names[twice]} times" if twice is not None else None


def _image_problem(image: dict[str, Any], surrogates: Sequence[str]) -> str | None:
    for part, optional in (("psnr", True), ("ssim", False), ("lpips", True), ("pocket_perceptual", True)):
        if not is_number(image.get(part)) and not (optional and image.get(part) is None):
            return f"{part} is {image.get(part)!r:.80}, not a number"
    if not isinstance(image.get("identical"), bool) or image["identical"] != (image.get("psnr") is None):
        return f"psnr is {image.get('psnr')}, but identical is {image.get('identical')!r:.80}"
    seen = image.get("surrogates", {})
    if not isinstance(seen, dict) or not set(seen) <= set(surrogates):
        return f"surrogates is {seen!r:.80}, not cosines by {'+'.join(surrogates)!r}"
    for surrogate, pair in seen.items():
        if not _are_cosines(pair):
            return f"the cosines by {surrogate} are {pair!r:.80}, not two numbers between -1 and 1"
    return None


def _are_cosines(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(is_number(each) and abs(each) <= LARGEST for each in pair)
