"""Whether a protection's pictures agree with its outcomes and measurements. Each rule yields what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.check.quality import psnr, ssim
from benchmarks.results.distances import FILE, read_features
from benchmarks.results.forms import measured_problem, outcome_problem
from benchmarks.results.store import sources_folder
from facecloak.errors import FacecloakError
from facecloak.io import TEMPORARY, leftovers, read_image, read_json, sha256

TOLERANCE = 1e-6  # of PSNR and SSIM, relative: torchmetrics has a constant of PSNR only in 32 bits
FILES = {"protection.json", "training.json", "measured.json", FILE, "images", "outcomes", "judgements"}
JUDGEMENT_FILES = {"records.jsonl", "judgement.json"}


class Pictures(NamedTuple):
    """What a protection's files say about its pictures; only entries of the right form.

    Attributes:
        outcomes: photo → content of its outcome.
        damaged: photos whose outcome does not have the right form.
        measured: photo → its entry in measured.json; None if that file is missing or damaged.
    """

    outcomes: dict[str, dict[str, Any]]
    damaged: set[str]
    measured: dict[str, dict[str, Any]] | None

    @property
    def made(self) -> list[str]:
        """The photos of which a picture was made."""
        return [name for name, outcome in self.outcomes.items() if outcome["error"] is None]


def read_pictures(folder: Path, surrogates: list[str]) -> tuple[Pictures, list[str]]:
    """What a protection's outcomes and measured.json say, and what is wrong with their form."""
    outcomes, damaged, problems = {}, set(), []
    for path in sorted((folder / "outcomes").glob("*.json")):
        if path.name.startswith("."):
            continue  # not a photo's name: reported as an unknown file
        outcome, problem = _read(path, f"outcomes/{path.name}")
        problem = problem or outcome_problem(outcome, path.stem)
        if problem:
            damaged.add(path.stem)
            problems.append(f"outcomes/{path.name}: {problem}")
        else:
            outcomes[path.stem] = outcome
    content, problem = _read(folder / "measured.json", "measured.json")
    problem = problem or measured_problem(content, surrogates)
    if problem:
        return Pictures(outcomes, damaged, None), [*problems, f"measured.json: {problem}"]
    return Pictures(outcomes, damaged, {image["id"]: image for image in content["images"]}), problems


def _read(path: Path, name: str) -> tuple[Any, str | None]:
    try:
        return read_json(path), None
    except FacecloakError as error:
        return None, str(error).removeprefix(f"{path}: ")
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"


def picture_problems(folder: Path, pictures: Pictures, suite: str, side: int) -> Iterator[str]:
    """Check that every picture exists and agrees with its outcome and measurements, and that there are no others.

    PSNR and SSIM are computed again if the run kept the source.

    Args:
        folder: folder of the protection.
        side: side of the square that every picture must be, in pixels.
    """
    yield from _set_problems(folder, pictures)
    for name in pictures.made:
        path = folder / "images" / f"{name}.png"
        source = sources_folder(folder.parents[1], suite) / f"{name}.png"
        if path.is_file():
            measured = (pictures.measured or {}).get(name)
            yield from _picture_problems(path, source, pictures.outcomes[name], measured, side)
    yield from _feature_problems(folder, pictures)


def _set_problems(folder: Path, pictures: Pictures) -> Iterator[str]:
    """Check that outcomes, pictures and measurements are of the same photos."""
    wanted, there = {f"{name}.png" for name in pictures.made}, _names_in(folder / "images")
    for name in sorted(wanted - there):
        yield f"images/{name} is missing, although its outcome says that it was made"
    for name in sorted(there - wanted - {f"{name}.png" for name in pictures.damaged}):
        if not name.startswith(TEMPORARY):
            yield f"images/{name} exists, but no outcome says that it was made"
    if pictures.measured is not None:
        made, measured = {*pictures.made}, {*pictures.measured}
        yield from (f"measured.json has no measurements of {name}" for name in sorted(made - measured))
        yield from (
            f"measured.json has measurements of {name}, but no picture of it was made"
            for name in sorted(measured - made - pictures.damaged)
        )


def _names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _picture_problems(
    path: Path, source: Path, outcome: dict[str, Any], measured: dict[str, Any] | None, side: int
) -> Iterator[str]:
    place = f"images/{path.name}"
    try:
        if (found := sha256(path)) != outcome.get("png_sha256"):
            yield f"{place} has SHA-256 {found}, but its outcome says {outcome.get('png_sha256')}"
            return
        picture = read_image(path)
        photo = read_image(source) if source.is_file() else None
    except FacecloakError as error:
        yield str(error)
        return
    except OSError as error:
        yield f"{place} cannot be read ({error.strerror})"
        return
    for name, image in ((place, picture), (str(source), photo)):
        if image is not None and image.shape != (side, side, 3):
            yield f"{name} has {image.shape[1]}×{image.shape[0]} pixels, but image_size is {side}"
            return
    if photo is not None and measured is not None:
        yield from (f"{place}: {problem} against {source}" for problem in _quality_problems(measured, picture, photo))


def _quality_problems(measured: dict[str, Any], picture: np.ndarray, photo: np.ndarray) -> Iterator[str]:
    for name, value in {"psnr": psnr(picture, photo), "ssim": ssim(picture, photo)}.items():
        stored = math.inf if measured[name] is None else measured[name]  # the PSNR of identical images
        if not math.isclose(value, stored, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{name} is {measured[name]} in measured.json, but is {value}"


def _feature_problems(folder: Path, pictures: Pictures) -> Iterator[str]:
    try:
        features = read_features(folder)
    except FacecloakError as error:
        yield str(error)
        return
    if features is not None and len(features.protected) != len(pictures.made):
        yield f"{FILE} has features of {len(features.protected)} pictures, but {len(pictures.made)} were made"


def unknown_files(folder: Path, judgements: Iterable[Path]) -> Iterator[str]:
    """Files of a protection that are not results: files that a killed process left, and unknown files.

    A file that another process is writing is neither. Another rule reports pictures without an outcome.
    """
    yield from (f"{path.relative_to(folder)} was left by a killed process" for path in leftovers(folder))
    expected = {folder / name for name in FILES} | {
        judgement / name for judgement in judgements for name in JUDGEMENT_FILES
    }
    expected |= {part for judgement in judgements for part in (judgement, judgement.parent)}
    for path in sorted([*folder.iterdir(), *(folder / "outcomes").glob("*"), *(folder / "judgements").rglob("*")]):
        is_outcome = path.parent.name == "outcomes" and path.suffix == ".json" and not path.name.startswith(".")
        if path not in expected and not is_outcome and not path.name.startswith(TEMPORARY):
            yield f"{path.relative_to(folder)} is not a result file"
