"""Protects the faces of one photo of any size, and compares them before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness.devices import pick_device
from benchmarks.harness.methods import attackable, load_objective, require_side, resolve_methods
from benchmarks.harness.needs import fetch_needed
from benchmarks.harness.photo_judges import PhotoJudges
from benchmarks.harness.protection import Protection
from benchmarks.harness.training import give_trained
from benchmarks.suites.albums import by_pixels, photos_of_album, pixels_sha256, read_album
from benchmarks.suites.suite import Suite
from facecloak.data import Album, Batch, Box, FindFace, Photo, to_album, to_tensor, to_uint8
from facecloak.errors import FacecloakError
from facecloak.faces import FaceDetector
from facecloak.framing import cut_square, paste_square
from facecloak.io import Format, encode_photo, read_image, sha256, sha256_json
from facecloak.method import ProtectionMethod
from facecloak.objectives import Goal, Objective
from facecloak.recognizers import weights_file

Faces = Literal["all", "largest"]
TOO_SMALL = 32  # pixels of a face's shorter side; a smaller face is hardly more than a blur to recognizers


@dataclass(frozen=True)
class Protector:
    """A method that is ready to protect photos, and what must be known about it.

    Attributes:
        judges: recognizers that are not attacked.
        about: what is recorded with every photo.
        album: further photos of the person, for a method that learns from them.
        learned_from: `by_pixels` of the album: these photos are not protected.
        key: a hash of everything that a result depends on, except for the photo; judges change nothing in a result.
    """

    method: ProtectionMethod
    objective: Objective
    judges: PhotoJudges
    detector: FaceDetector
    find_face: FindFace
    size: int
    faces: Faces
    format: Format
    about: dict[str, Any]
    key: str
    album: Album | None
    learned_from: dict[str, Path]


def default_method(suite: Suite, accelerator: str) -> str:
    """The suite's method for this device: what is quick enough on it."""
    return suite.protect.gpu if pick_device(accelerator).type == "cuda" else suite.protect.cpu


def make_protector(
    suite: Suite,
    method_name: str,
    overrides: Sequence[str] = (),
    config: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    goal: Goal | None,
    target: str | None,
    judges: Sequence[str],
    faces: Faces,
    format: Format,
    accelerator: str,
    trained_in: Path | None,
    album: Path | None,
    say: Callable[[str], None],
) -> Protector:
    """Load everything that protects photos, and train the method if it must be trained.

    Args:
        judges: names; they are left out of the surrogates, and need not be in the suite.
        trained_in: see `give_trained`.
        album: folder of further photos of the person, for a method that learns from them.
        say: is called with each line about a training or an album.

    Raises:
        FacecloakError: a name, a setting or weights are wrong or missing.
    """
    (resolved,) = resolve_methods(suite, [method_name], overrides, config)
    device = pick_device(accelerator)
    resolved.cls.require_device(resolved.settings, device.type)
    if resolved.cls.uses_albums:
        _check_album(resolved.name, album, faces)
    elif album is not None:
        raise FacecloakError(
            f"{resolved.name} does not learn from an album: leave --album out, or choose a method that does."
        )
    photos = photos_of_album(album) if album else []
    goal = goal or suite.objective
    judges = [*dict.fromkeys(judges)]
    names = attackable(suite, [judge for judge in judges if judge in suite.recognizers])
    surrogates = resolved.cls.pick_surrogates(resolved.settings, names)
    suite.require_target(target, goal)
    fetch_needed(suite, [*(surrogates or names), *judges], [resolved.settings], sources=False)
    face = suite.load_target(target, goal)
    find_face = suite.find_face(str(device))
    weights = {name: sha256(weights_file(name)) for name in surrogates}
    judging = PhotoJudges(suite, judges, face, find_face, device)
    _refuse_twins(weights, judging)
    # if a method attacks no recognizer, its results are compared by all of them
    attacked = load_objective(suite, resolved, goal, face, surrogates or names, find_face)
    method = resolved.cls(resolved.settings, attacked if surrogates else None)
    targets = suite.target_set(face) if resolved.cls.uses_target_set(resolved.settings) else [face]
    method_weights = resolved.cls.weights_sha256(resolved.settings)
    require_side(method, resolved.name, suite)
    if resolved.cls.stages(resolved.settings):
        protection = Protection(
            suite, resolved.name, resolved.preset, resolved.settings, goal, face, tuple(surrogates), weights,
            method_weights, tuple(targets[1:]),
        )  # fmt: skip
        give_trained(method, protection, trained_in, accelerator, say)
    about = {"method": f"{resolved.name}:{resolved.preset}", "settings": asdict(resolved.settings), "objective": goal,
             "target": face.name, "surrogates": surrogates}  # fmt: skip
    hashes = [sha256(each.image) for each in targets] + [*weights.values(), method_weights, *map(sha256, photos)]
    detector = FaceDetector(str(device))
    key = sha256_json([about, hashes, suite.image_size, suite.crop, faces, format])
    return Protector(
        method.to(device), attacked.to(device), judging, detector, find_face, suite.image_size, faces, format,
        about | {"judges": judging.about}, key,
        _read_album(photos, detector, find_face, suite.image_size, say) if photos else None, by_pixels(photos),
    )  # fmt: skip


def _check_album(method: str, album: Path | None, faces: Faces) -> None:
    if album is None:
        raise FacecloakError(
            f"{method} learns from further photos of the person: name their folder, --album FOLDER, or choose another "
            "--method."
        )
    if faces != "largest":
        raise FacecloakError(f"{method} protects the person of --album only: add --faces largest.")


def _read_album(
    paths: Sequence[Path], detector: FaceDetector, find_face: FindFace, size: int, say: Callable[[str], None]
) -> Album:
    """The squares around the largest face of each photo, as those that are protected."""

    def read(path: Path) -> Photo:
        try:
            photo = read_image(path)
        except FacecloakError as error:
            return Photo(None, None, str(error))
        found = detector.find_all(photo)
        square = cut_square(photo, found[0], size).image if found else None
        crop = find_face(square) if found else None
        return Photo(square, crop, None if crop else f"{path}: no face found")

    photos, errors = read_album(paths, read)
    if errors:
        say(f"left out, since they cannot be used: {len(errors)} photos of the album; the first: {errors[0]}")
    return to_album(photos)


def _refuse_twins(weights: Mapping[str, str], judges: PhotoJudges) -> None:
    for judge, about in judges.about.items():
        for name, digest in weights.items():
            if digest == about["weights_sha256"]:
                raise FacecloakError(
                    f"The judge {judge} is the same recognizer as {name}, which is attacked: choose another judge, or "
                    "name both as judges."
                )


@torch.no_grad()
def protect_photo(protector: Protector, path: Path) -> tuple[bytes, np.ndarray, dict[str, Any]]:
    """The photo with its faces protected one after the other, as a file and its pixels, and what is recorded with it.

    Raises:
        FacecloakError: the photo is in the album, a face is missing, or one of them cannot be protected: all faces must
            be, or the photo is not.
    """
    photo = read_image(path)
    if twin := protector.learned_from and protector.learned_from.get(pixels_sha256(photo)):
        raise FacecloakError(
            f"{path} is the same picture as {twin}: a method must not learn from the photos that it protects. Remove "
            "it from the album."
        )
    found = protector.detector.find_all(photo)
    if not found:
        raise FacecloakError(f"{path}: no face found, not protected.")
    boxes = [box for index, box in enumerate(found) if index == 0 or (protector.faces == "all" and _is_large(box))]
    result, seconds, crops = photo, 0.0, []
    for index, box in enumerate(boxes):
        try:
            result, crop, took = _protect_face(protector, result, box)
        except FacecloakError as error:
            reason = str(error).removesuffix(".")
            raise FacecloakError(f"{path}: {reason}, not protected{_progress(index, boxes)}.") from None
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
        Batch(
            ["photo"], to_tensor([square.image]).to(device), torch.tensor([crop], device=device),
            [protector.album] if protector.album else None,
        )
    )  # fmt: skip
    if made.errors[0]:
        raise FacecloakError(made.errors[0])
    return paste_square(photo, square, to_uint8(made.images)[0]), crop, made.seconds


def judge_again(protector: Protector, photo: Path, result: Path, faces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is recorded of the faces of a protected photo, with what the present judges say."""
    images = read_image(photo), read_image(result)
    return [face | {"judges": _judge(protector, *images, tuple(face["box"]))} for face in faces]


def _judge(protector: Protector, photo: np.ndarray, result: np.ndarray, box: Box) -> dict[str, dict[str, Any]]:
    return protector.judges.compare(*(cut_square(image, box, protector.size).image for image in (photo, result)))


def _compare(protector: Protector, photo: np.ndarray, result: np.ndarray, box: Box, crop: Box) -> dict[str, Any]:
    """How the attacked recognizers, and the judges, compare a face before and after."""
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
        "judges": _judge(protector, photo, result, box),
    }


def _cosines(names: list[str], left: list[Tensor], right: list[Tensor]) -> dict[str, float]:
    return {name: float(a[0] @ b[0]) for name, a, b in zip(names, left, right, strict=True)}
