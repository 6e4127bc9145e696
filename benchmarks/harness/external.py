"""Makes a run from the pictures of any tool: a protection like any other, which can be judged and checked."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness.folders import Pair
from benchmarks.harness.needs import used
from benchmarks.harness.protection import LAYOUT
from benchmarks.results.pictures import ROWS, write_sources
from benchmarks.results.store import (
    forget,
    forget_judgements,
    protections_folder,
    sources_folder,
    write_outcome,
    write_protection,
)
from benchmarks.suites.spec import SourcesSpec
from benchmarks.suites.suite import Source, Suite, Target, file_sha256, keep_suite
from facecloak.config import settings_hash
from facecloak.data import Box, FindFace, Photo
from facecloak.errors import FacecloakError
from facecloak.faces import FaceDetector
from facecloak.framing import frame
from facecloak.io import encode_png, file_name, read_image, sha256, sha256_json, write_png

PRESET = "external"


def make_external(
    suite: Suite,
    pairs: Sequence[Pair],
    run: Path,
    *,
    name: str,
    goal: str,
    target: Target,
    attacked: Mapping[str, str],
    device: str = "cpu",
) -> tuple[Suite, list[Source], Path]:
    """Write the pictures of a tool as a protection of a run.

    If the photos are the suite's own, by name and content, the suite is used as it is, so that the run can be in one
    table with the suite's other runs. Otherwise the photos are cut to the suite's frame, each protected photo in the
    same way as its original, and form a new suite, named after the suite and the folder.

    Args:
        run: folder of the run.
        name: name of the tool.
        attacked: recognizer → SHA-256, for the recognizers that the tool is known to have attacked.

    Returns:
        the suite of these photos, its sources, and the protection's folder.
    """
    own = _own_sources(suite, pairs)
    frames = _Frames(suite, device, aligned=own is not None)
    used, sources = _foreign_suite(suite, pairs, run, frames) if own is None else (suite, own)
    keep_suite(used, run)
    about = _about(used, name, goal, target, attacked)
    folder = protections_folder(run) / f"{file_name(name)}_{file_name(target.name)}_{about['key'][:12]}"
    group = {source.name for source in sources if goal == "obfuscation" or source.group in (None, target.name)}
    wanted = [pair for pair in pairs if pair.name in group]
    hashes = {source.name: file_sha256(source.path) for source in sources}
    write_protection(folder, about)
    forget_judgements(folder)
    forget(folder, {path.stem for path in (folder / "outcomes").glob("*.json")} - {pair.name for pair in wanted})
    for pair in wanted:
        _write_picture(folder, pair, hashes[pair.name], frames)
    shown = {pair.name: frames.original(pair)[0].image for pair in wanted[:ROWS]}
    write_sources(sources_folder(run, used.name), {name: image for name, image in shown.items() if image is not None})
    return used, sources, folder


class _Frames:
    """Photos in the suite's frame; each original is framed once.

    Args:
        aligned: whether the photos are the suite's own, which are in its frame already.
    """

    def __init__(self, suite: Suite, device: str, aligned: bool) -> None:
        self.size = suite.image_size
        self.find_face: FindFace = suite.find_face(device)
        self.detector = FaceDetector(device) if suite.detect and not aligned else None
        self._originals: dict[str, tuple[Photo, Box | None]] = {}

    def original(self, pair: Pair) -> tuple[Photo, Box | None]:
        """The unprotected photo and the box in which it was cut."""
        if pair.name not in self._originals:
            self._originals[pair.name] = frame(pair.original, self.size, self.find_face, self.detector)
        return self._originals[pair.name]

    def protected(self, pair: Pair) -> Photo:
        """The protected photo, cut in the same way as its original."""
        return frame(pair.protected, self.size, self.find_face, self.detector, self.original(pair)[1])[0]

    def other(self, path: Path) -> Photo:
        """Another photo."""
        return frame(path, self.size, self.find_face, self.detector)[0]


def _own_sources(suite: Suite, pairs: Sequence[Pair]) -> list[Source] | None:
    """The suite's sources that are equal to the originals by name and content; None if an original is not a source."""
    try:
        known = {source.name: source for source in suite.load_sources()}
    except FacecloakError:  # even without its own photos, a suite can judge other photos
        return None
    found = []
    for pair in pairs:
        source = known.get(pair.name)
        if source is None or file_sha256(source.path) != file_sha256(pair.original):
            return None
        found.append(replace(source, second=pair.other or source.second))
    return found


def _foreign_suite(suite: Suite, pairs: Sequence[Pair], run: Path, frames: _Frames) -> tuple[Suite, list[Source]]:
    """A new suite of the originals and the other photos, which are stored in the run, cut to the suite's frame."""
    folders = {side: run / "photos" / side for side in ("originals", "others")}
    for pair in pairs:
        photo, _ = frames.original(pair)
        _keep(photo, pair.original, folders["originals"] / f"{pair.name}.png")
        if pair.other:
            _keep(frames.other(pair.other), pair.other, folders["others"] / f"{pair.name}.png")
    has_others = any(pair.other for pair in pairs)
    spec = {"folder": str(folders["originals"].resolve())}
    if has_others:
        spec["second"] = str(folders["others"].resolve())
    used = replace(
        suite,
        name=file_name(f"{suite.name}_{pairs[0].original.parent.name}"),
        sources=SourcesSpec(**spec),
        default_limit=None,
    )
    return used, used.load_sources()


def _keep(photo: Photo, file: Path, path: Path) -> None:
    """Store a photo in the suite's frame; an unusable one is stored unchanged, so that it is found unusable again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if photo.error is None:
        write_png(path, photo.image)
    else:
        shutil.copyfile(file, path)


def _write_picture(folder: Path, pair: Pair, source_sha256: str | None, frames: _Frames) -> None:
    original, _ = frames.original(pair)
    if original.error:
        forget(folder, [pair.name])  # unusable, as the judge will find
        return
    error, png = unusable(pair), None
    if error is None:
        png = encode_png(frames.protected(pair).image)
    write_outcome(folder, pair.name, png, {
        "id": pair.name, "source_sha256": source_sha256, "error": error, "history": {}, "seconds": None,
        "unet_passes": 0, "peak_memory_mb": None, "batch_size": 1, "device": None, "made_by": "another tool",
    })  # fmt: skip


def unusable(pair: Pair) -> str | None:
    """Why there is no protected image to judge, or None. Both images must have the same size in pixels."""
    if pair.protected is None:
        return f"no protected image of {pair.name}"
    try:
        sizes = [read_image(path).shape[1::-1] for path in (pair.original, pair.protected)]
    except FacecloakError as error:
        return str(error)
    if sizes[0] != sizes[1]:
        (width, height), (new_width, new_height) = sizes
        return (
            f"{pair.protected.name} is {new_width}×{new_height}, its original is {width}×{height}; protection must "
            "not change the size"
        )
    return None


def _about(suite: Suite, name: str, goal: str, target: Target, attacked: Mapping[str, str]) -> dict[str, Any]:
    """The content of protection.json."""
    surrogates = [recognizer for recognizer in suite.recognizers if recognizer in attacked]
    key_of = {
        "layout": LAYOUT, "suite": [suite.name, suite.image_size, suite.crop], "method": [name, {}, None],
        "objective": goal, "target": [target.name, sha256(target.image) if surrogates else None, target.box],
        "surrogates": [[recognizer, attacked[recognizer]] for recognizer in surrogates],
    }  # fmt: skip
    return {
        "key": sha256_json(key_of), "key_of": key_of, "suite": suite.name, "dataset": suite.dataset,
        "image_size": suite.image_size, "method": name, "preset": PRESET, "settings": {},
        "settings_hash": settings_hash({}), "seed": None, "objective": goal, "target": target.name,
        "surrogates": surrogates, "weights": {recognizer: attacked[recognizer] for recognizer in surrogates},
        "used": used(suite, surrogates),
    }  # fmt: skip
