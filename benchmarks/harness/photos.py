"""Protects every face in photos of any size, with a suite's models and settings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from benchmarks.console import progress, stage_reporter
from benchmarks.harness.devices import pick_device
from benchmarks.harness.folders import find_photos
from benchmarks.harness.methods import attackable, load_objective, method_name, require_untrained, resolve_methods
from benchmarks.harness.needs import fetch_needed
from benchmarks.harness.photo_store import PhotoStore, Place
from benchmarks.suites.suite import Suite, load_suite
from facecloak.data import Batch, Box, FindFace, to_tensor, to_uint8
from facecloak.errors import FacecloakError
from facecloak.faces import FaceDetector
from facecloak.framing import cut_square, paste_square
from facecloak.io import (
    FORMAT_SUFFIXES,
    Format,
    encode_photo,
    printable,
    read_image,
    remove_leftovers,
    sha256,
    sha256_json,
    writable,
    write_bytes,
)
from facecloak.method import ProtectionMethod
from facecloak.objectives import Goal, Objective
from facecloak.recognizers import weights_file

Faces = Literal["all", "largest"]
TOO_SMALL = 32  # pixels of a face's shorter side; a smaller face is hardly more than a blur to recognizers


@dataclass(frozen=True)
class Protector:
    """A method that is ready to protect photos, and what must be known about it.

    Attributes:
        about: what is recorded with every photo.
        key: a hash of everything that a result depends on, except for the photo.
    """

    method: ProtectionMethod
    objective: Objective
    detector: FaceDetector
    find_face: FindFace
    size: int
    faces: Faces
    format: Format
    about: dict[str, Any]
    key: str


def protect_photos(
    photos: Sequence[Path],
    out: Path,
    *,
    suite: str = "faces",
    method: str | None = None,
    overrides: Sequence[str] = (),
    objective: Goal | None = None,
    target: str | None = None,
    black_boxes: Sequence[str] = (),
    faces: Faces = "all",
    format: Format = "png",
    accelerator: str = "auto",
) -> list[dict[str, Any]]:
    """Protect photos, and all photos of folders, and write ``out/NAME.png`` and ``out/protect.json``.

    The results hold pixels only: no GPS position, no thumbnail and no other metadata of a photo.

    A photo that was protected with the same settings before is not protected again, even if it or ``out`` has been
    moved: results are recognized by their content. Sub-folders are kept in ``out``.

    Args:
        photos: image files and folders.
        method: by default the suite's for this device.
        overrides: settings of the method, as ``method.field=value``.
        black_boxes: recognizers that are not attacked.
        faces: every face of a photo, each towards the same target, or only the largest one.
        format: png, exact; or jpeg, and what is recorded is measured on the JPEG.

    Returns:
        the outcome of every photo. ``error`` says why there is no result; ``done_before``: the result existed already.

    Raises:
        FacecloakError: a setting is wrong, a file that is not a result would be overwritten, or another process is
            writing there.
    """
    writable(out)
    try:
        with FileLock(out / ".protect.lock", timeout=0):
            remove_leftovers(out)
            store = PhotoStore(out)
            places = store.assign(find_photos(photos, store.is_result), FORMAT_SUFFIXES[format][0])
            loaded = load_suite(suite)
            method = method or default_method(loaded, accelerator)
            protector = _make_protector(
                loaded, method, overrides, goal=objective, target=target, black_boxes=black_boxes, faces=faces,
                format=format, accelerator=accelerator,
            )  # fmt: skip
            bar = progress(places, unit="photo")
            protector.method.on_progress = stage_reporter(bar)
            return [_outcome(protector, store, place) for place in bar]
    except Timeout:
        raise FacecloakError(
            f"Another `facecloak protect` is writing to {printable(out)}: wait until it ends, or choose another --out."
        ) from None


@dataclass(frozen=True)
class ProtectedPhoto:
    """A protected photo.

    Attributes:
        image: uint8 H×W×3, of the photo's size, upright.
        file: the image as a file of ``format``, without metadata.
        outcome: ``n_faces`` (found) and ``n_protected``; ``psnr`` in dB (None: identical); ``seconds``; for each face
            its ``box`` and its cosines to target and original; method, settings, target and surrogates.
    """

    image: np.ndarray
    file: bytes
    format: Format
    outcome: dict[str, Any]

    def save(self, path: str | Path) -> None:
        """Write the photo.

        Raises:
            FacecloakError: the path's ending is that of another format, which would change the protection.
        """
        suffixes = FORMAT_SUFFIXES[self.format]
        if Path(path).suffix.lower() not in suffixes:
            raise FacecloakError(
                f"{path}: the photo is protected as {self.format}, so that its name must end in {suffixes[0]}; "
                "another format is chosen by protect(…, format=…)."
            )
        write_bytes(path, self.file)


def protect(
    photo: str | Path,
    *,
    suite: str | Suite = "faces",
    method: str | None = None,
    target: str | None = None,
    objective: Goal | None = None,
    black_boxes: Sequence[str] = (),
    faces: Faces = "all",
    format: Format = "png",
    accelerator: str = "auto",
    **settings: Any,
) -> ProtectedPhoto:
    """Protect every face of a photo of any size.

    Args:
        photo: image file.
        suite: the suite whose models, target and settings are used; what is not here of them is fetched.
        method: name, ``name:preset`` or ``package.module:Class``; by default the suite's for this device.
        target: name; by default the suite's first.
        objective: impersonation or obfuscation; by default the suite's.
        black_boxes: recognizers that are not attacked.
        faces: every face, each towards the same target, or only the largest one.
        format: png, exact; or jpeg, and the outcome is that of the JPEG.
        accelerator: auto, cpu or gpu.
        **settings: settings of the method, which override those of suite and preset.

    Raises:
        FacecloakError: the photo cannot be read or shows no face, a face could not be protected, or a name, a setting
            or weights are wrong or missing.

    Example:
        >>> protect("me.jpg").save("me.protected.png")  # doctest: +SKIP
    """
    loaded = load_suite(suite) if isinstance(suite, str) else suite
    method = method or default_method(loaded, accelerator)
    protector = _make_protector(
        loaded, method, config={method_name(method): settings} if settings else None, goal=objective, target=target,
        black_boxes=black_boxes, faces=faces, format=format, accelerator=accelerator,
    )  # fmt: skip
    file, image, made = _protect(protector, Path(photo))
    return ProtectedPhoto(image, file, format, protector.about | made)


def default_method(suite: Suite, accelerator: str) -> str:
    """The suite's method for this device: what is quick enough on it."""
    return suite.protect.gpu if pick_device(accelerator).type == "cuda" else suite.protect.cpu


def _make_protector(
    suite: Suite,
    method_name: str,
    overrides: Sequence[str] = (),
    config: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    goal: Goal | None,
    target: str | None,
    black_boxes: Sequence[str],
    faces: Faces,
    format: Format,
    accelerator: str,
) -> Protector:
    (resolved,) = resolve_methods(suite, [method_name], overrides, config)
    require_untrained(resolved)
    goal = goal or suite.objective
    names = attackable(suite, black_boxes)
    surrogates = resolved.cls.pick_surrogates(resolved.settings, names)
    fetch_needed(suite, surrogates or names, [resolved.settings], sources=False)
    face = suite.load_target(target, goal)
    find_face, device = suite.find_face(), pick_device(accelerator)
    # if a method attacks no recognizer, its results are compared by all of them
    attacked = load_objective(suite, resolved, goal, face, surrogates or names, find_face).to(device)
    method = resolved.cls(resolved.settings, attacked if surrogates else None).to(device)
    about = {"method": f"{resolved.name}:{resolved.preset}", "settings": asdict(resolved.settings), "objective": goal,
             "target": face.name, "surrogates": surrogates}  # fmt: skip
    targets = suite.target_set(face) if resolved.cls.uses_target_set(resolved.settings) else [face]
    weights = [sha256(weights_file(name)) for name in surrogates] + [resolved.cls.weights_sha256(resolved.settings)]
    hashes = [sha256(each.image) for each in targets] + weights
    key = sha256_json([about, hashes, suite.image_size, suite.crop, faces, format])
    detector = FaceDetector(str(device))
    return Protector(method, attacked, detector, find_face, suite.image_size, faces, format, about, key)


def _outcome(protector: Protector, store: PhotoStore, place: Place) -> dict[str, Any]:
    """Protect a photo unless it is done; an error is recorded as this photo's outcome and does not stop the others."""
    shared = {"photo": printable(place.photo), "source_sha256": place.source_sha256, "key": protector.key}
    before = store.outcome(place.result)
    if before and before["key"] == protector.key and before["source_sha256"] == place.source_sha256:
        return before | {"photo": shared["photo"], "done_before": True}
    shared |= protector.about
    try:
        file, _, made = _protect(protector, place.photo)
    except (FacecloakError, RuntimeError, MemoryError, ValueError, OSError) as error:
        outcome = shared | {"error": _reason(place.photo, error)}
        store.save(place, outcome, None)
        return outcome | {"done_before": False}
    outcome = shared | made | {
        "error": None, "result": store.name(place.result), "result_sha256": hashlib.sha256(file).hexdigest(),
    }  # fmt: skip
    store.save(place, outcome, file)
    return outcome | {"done_before": False}


def _reason(photo: Path, error: Exception) -> str:
    if isinstance(error, FacecloakError):
        return printable(str(error))
    text = str(error).strip().partition("\n")[0] or "no reason given"
    if isinstance(error, MemoryError) or any(word in text for word in ("out of memory", "can't allocate memory")):
        return printable(f"{photo}: out of memory, not protected. Use a smaller photo or model.")
    return printable(f"{photo}: {type(error).__name__}: {text}, not protected.")


@torch.no_grad()
def _protect(protector: Protector, path: Path) -> tuple[bytes, np.ndarray, dict[str, Any]]:
    """The photo with its faces protected one after the other, as a file and its pixels, and what is recorded with it.

    Raises:
        FacecloakError: there is no face, or one of them cannot be protected: all faces must be, or the photo is not.
    """
    photo = read_image(path)
    found = protector.detector.find_all(photo)
    if not found:
        raise FacecloakError(f"{path}: no face found, not protected.")
    boxes = [box for index, box in enumerate(found) if index == 0 or (protector.faces == "all" and _is_large(box))]
    result, seconds, crops = photo, 0.0, []
    for index, box in enumerate(boxes):
        try:
            result, crop, took = _protect_face(protector, result, box)
        except FacecloakError as error:
            raise FacecloakError(f"{path}: {error}, not protected{_progress(index, boxes)}.") from None
        seconds += took
        crops.append(crop)
    file, result = encode_photo(result, protector.format)
    error = np.mean((result.astype(np.float64) - photo) ** 2)
    return (
        file,
        result,
        {
            "size": [photo.shape[1], photo.shape[0]],
            "n_faces": len(found),
            "n_protected": len(boxes),
            "n_too_small": sum(not _is_large(box) for box in found[1:]) if protector.faces == "all" else 0,
            "faces": [_compare(protector, photo, result, box, crop) for box, crop in zip(boxes, crops, strict=True)],
            "seconds": seconds,
            "psnr": float(10 * np.log10(255**2 / error)) if error else None,
        },
    )


def _progress(done: int, boxes: list[Box]) -> str:
    if len(boxes) == 1:
        return ""
    return f" (face {done + 1} of {len(boxes)}; nothing was written; --faces largest protects only the largest face)"


def _is_large(box: Box) -> bool:
    return min(box[2] - box[0], box[3] - box[1]) >= TOO_SMALL


def _protect_face(protector: Protector, photo: np.ndarray, box: Box) -> tuple[np.ndarray, Box, float]:
    """The photo with one face protected, the part of its square that recognizers see, and the seconds it took."""
    square = cut_square(photo, box, protector.size)
    crop = protector.find_face(square.image)
    if crop is None:
        raise FacecloakError(f"no face found at the model's {protector.size} pixels")
    device = protector.method.device
    made = protector.method.predict_step(
        Batch(["photo"], to_tensor([square.image]).to(device), torch.tensor([crop], device=device))
    )
    if made.errors[0]:
        raise FacecloakError(made.errors[0])
    return paste_square(photo, square, to_uint8(made.images)[0]), crop, made.seconds


def _compare(protector: Protector, photo: np.ndarray, result: np.ndarray, box: Box, crop: Box) -> dict[str, Any]:
    """How the attacked recognizers compare a face before and after."""
    attacked, device = protector.objective, protector.method.device
    crops = torch.tensor([crop], device=device)
    before, after = (
        attacked.embed(to_tensor([cut_square(image, box, protector.size).image]).to(device), crops)
        for image in (photo, result)
    )
    names = [recognizer.name for recognizer in attacked.surrogates]
    return {
        "box": list(box),
        "cosine_to_target_before": _cosines(names, before, attacked.targets),
        "cosine_to_target_after": _cosines(names, after, attacked.targets),
        "cosine_to_original_after": _cosines(names, after, before),
    }


def _cosines(names: list[str], left: list[Tensor], right: list[Tensor]) -> dict[str, float]:
    return {name: float(a[0] @ b[0]) for name, a, b in zip(names, left, right, strict=True)}
