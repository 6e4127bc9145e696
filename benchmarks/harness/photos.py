"""`facecloak protect`: protect photos of any size with a suite's models and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from benchmarks.console import progress, quietly, stage_reporter, wide_console
from benchmarks.harness.devices import pick_device
from benchmarks.harness.methods import resolve_methods
from benchmarks.suites.suite import Suite, load_suite
from facecloak.data import Batch, FindFace, to_tensor, to_uint8
from facecloak.errors import FacecloakError
from facecloak.faces import FaceDetector
from facecloak.framing import cut_square, paste_square
from facecloak.io import read_image, read_json, writable, write_json, write_png
from facecloak.method import ProtectionMethod
from facecloak.objectives import Objective
from facecloak.recognizers import load_recognizer
from facecloak.registry import unknown_name


@quietly()
def protect_photos(
    photos: list[Path],
    out: Path,
    suite_name: str,
    method_name: str,
    overrides: list[str],
    objective: str | None,
    target: str | None,
    black_boxes: list[str] | None,
    accelerator: str,
) -> int:
    """Protect each photo and write ``out/NAME.png`` and ``out/protect.json``, the outcome of every photo.

    Returns:
        0 if every photo was protected, else 1. A photo that was not has no file in ``out``.
    """
    writable(out)
    _refuse_collisions(photos, out)
    suite = load_suite(suite_name)
    [(name, preset, cls, settings)] = resolve_methods(suite, [method_name], overrides)
    goal = objective or suite.objective
    face = suite.load_target(target, goal)
    names = _attackable(suite, black_boxes or [])
    if cls.stages(settings):
        raise FacecloakError(f"{method_name} must be trained for a suite's target first; `protect` cannot do that yet. "
                             "Use `facecloak benchmark`.")  # fmt: skip
    surrogates = cls.pick_surrogates(settings, names)
    recognizers = [load_recognizer(recognizer, differentiable=True) for recognizer in surrogates or names]
    find_face = suite.find_face()
    targets = suite.target_set(face) if cls.uses_target_set(settings) else [face]
    attacked = suite.build_objective(goal, targets, recognizers, find_face)
    method = cls(settings, attacked if cls.uses_surrogates else None)
    device = pick_device(accelerator)
    method.to(device)
    attacked.to(device)
    detector = FaceDetector(str(device))
    earlier = _earlier(out)
    bar = progress(photos, unit="photo")
    method.on_progress = stage_reporter(bar)
    outcomes = []
    for photo in bar:
        try:
            outcome = _protect(photo, out / f"{photo.stem}.png", suite, method, attacked, detector, find_face)
        except FacecloakError as error:
            outcome = {"photo": str(photo), "error": str(error)}
            (out / f"{photo.stem}.png").unlink(missing_ok=True)  # an earlier result, or nothing: see _refuse_collisions
        outcome |= {"method": f"{name}:{preset}", "settings": vars(settings), "objective": goal, "target": face.name,
                    "surrogates": surrogates}  # fmt: skip
        outcomes.append(outcome)
        earlier[str(photo)] = outcome
        write_json(out / "protect.json", {"photos": [*earlier.values()]})
    _print(outcomes, face.name, cls.uses_surrogates)
    return 0 if all(outcome["error"] is None for outcome in outcomes) else 1


def _attackable(suite: Suite, black_boxes: list[str]) -> list[str]:
    """The suite's surrogates for a photo that these recognizers judge."""
    for black_box in black_boxes:
        if black_box not in suite.recognizers:
            raise unknown_name(f"recognizer of suite {suite.name}", black_box, suite.recognizers)
    names = [name for name in suite.surrogates_for(black_boxes) if name not in black_boxes]
    if not names:
        raise FacecloakError(
            f"--black-box {','.join(black_boxes)}: suite {suite.name} has no other recognizer to attack."
        )
    return names


def _earlier(out: Path) -> dict[str, dict[str, Any]]:
    """The outcomes that lie in ``out``, by photo."""
    if not (out / "protect.json").exists():
        return {}
    return {outcome["photo"]: outcome for outcome in read_json(out / "protect.json")["photos"]}


def _refuse_collisions(photos: list[Path], out: Path) -> None:
    """Never write over a file that is not an earlier result of the same photo."""
    own = {outcome.get("result"): outcome["photo"] for outcome in _earlier(out).values()}
    stems = [photo.stem for photo in photos]
    for photo in photos:
        result = out / f"{photo.stem}.png"
        if stems.count(photo.stem) > 1:
            raise FacecloakError(f"Two photos would be written as {result.name}; protect them into two folders.")
        if result.exists() and own.get(str(result)) != str(photo):
            raise FacecloakError(f"{result} would be overwritten, and is no result of {photo}; choose another --out.")


@torch.no_grad()
def _protect(
    path: Path,
    result: Path,
    suite: Suite,
    method: ProtectionMethod,
    attacked: Objective,
    detector: FaceDetector,
    find_face: FindFace,
) -> dict[str, Any]:
    photo = read_image(path)
    box = detector(photo)
    if box is None:
        raise FacecloakError(f"{path}: no face found, not protected.")
    square = cut_square(photo, box, suite.image_size)
    images = to_tensor([square.image]).to(method.device)
    crop = find_face(square.image)
    if crop is None:
        raise FacecloakError(f"{path}: no face found at the model's {suite.image_size} pixels, not protected.")
    boxes = torch.tensor([crop], device=method.device)
    made = method.predict_step(Batch([path.stem], images, boxes))
    if made.errors[0]:
        raise FacecloakError(f"{path}: {made.errors[0]}, not protected.")
    pasted = paste_square(photo, square, to_uint8(made.images)[0])
    write_png(result, pasted)
    seen = cut_square(read_image(result), box, suite.image_size)
    error = np.mean((pasted.astype(np.float64) - photo) ** 2)
    before, after = (attacked.embed(to_tensor([face]).to(boxes.device), boxes) for face in (square.image, seen.image))
    names = [recognizer.name for recognizer in attacked.surrogates]
    return {
        "photo": str(path),
        "error": None,
        "result": str(result),
        "size": [photo.shape[1], photo.shape[0]],
        "face": list(box),
        "seconds": made.seconds,
        "psnr": float(10 * np.log10(255**2 / error)) if error else None,
        "cosine_to_target_before": _cosines(names, before, attacked.targets),
        "cosine_to_target_after": _cosines(names, after, attacked.targets),
        "cosine_to_original_after": _cosines(names, after, before),
    }


def _cosines(names: list[str], left: list[Tensor], right: list[Tensor]) -> dict[str, float]:
    return {name: float(a[0] @ b[0]) for name, a, b in zip(names, left, right, strict=True)}


def _print(outcomes: list[dict[str, Any]], target: str, attacked: bool) -> None:
    """A line a photo; similarities are means over the recognizers that a method may attack."""
    view = Table("photo", "outcome", "PSNR", f"similarity to target {target}", "to the original", "seconds")
    for outcome in outcomes:
        if outcome["error"]:
            view.add_row(escape(outcome["photo"]), f"[red]{escape(outcome['error'])}[/]", "", "", "", "")
            continue
        mean = {key: float(np.mean(list(value.values()))) for key, value in outcome.items() if key.startswith("cosine")}
        view.add_row(
            escape(outcome["photo"]),
            escape(outcome["result"]),
            "identical" if outcome["psnr"] is None else f"{outcome['psnr']:.1f} dB",
            f"{mean['cosine_to_target_before']:.2f} → {mean['cosine_to_target_after']:.2f}",
            f"1.00 → {mean['cosine_to_original_after']:.2f}",
            f"{outcome['seconds']:.0f}",
        )
    console = wide_console()
    console.print(view)
    if attacked:
        console.print("Similarities are means over the recognizers that the method attacked: a stranger's may differ.")
