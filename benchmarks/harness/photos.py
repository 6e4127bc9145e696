"""Protects every face in photos of any size, with a suite's models and settings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from benchmarks.console import progress, quietly, stage_reporter
from benchmarks.harness.folders import find_photos
from benchmarks.harness.methods import method_name
from benchmarks.harness.photo_store import PhotoStore, Place
from benchmarks.harness.protector import Faces, Protector, default_method, judge_again, make_protector, protect_photo
from benchmarks.suites.suite import Suite, load_suite
from facecloak.errors import FacecloakError
from facecloak.io import FORMAT_SUFFIXES, Format, printable, remove_leftovers, writable, write_bytes
from facecloak.objectives import Goal


def protect_photos(
    photos: Sequence[Path],
    out: Path,
    *,
    suite: str = "faces",
    method: str | None = None,
    overrides: Sequence[str] = (),
    objective: Goal | None = None,
    target: str | None = None,
    judges: Sequence[str] = (),
    faces: Faces = "all",
    format: Format = "png",
    accelerator: str = "auto",
    album: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Protect photos, and all photos of folders, and write ``out/NAME.png`` and ``out/protect.json``.

    The results hold pixels only: no GPS position, no thumbnail and no other metadata of a photo.

    A photo that was protected with the same settings before is not protected again, even if it or ``out`` has been
    moved: results are recognized by their content. Other judges judge it again. Sub-folders are kept in ``out``, and
    the models of a method that must be trained are in ``out/checkpoints``.

    Args:
        photos: image files, folders, and patterns such as ``album/*.jpg``.
        method: by default the suite's for this device.
        overrides: settings of the method, as ``method.field=value``.
        judges: recognizers that are not attacked, and say how similar a face is before and after.
        faces: every face of a photo, each towards the same target, or only the largest one.
        format: png, exact; or jpeg, and what is recorded is measured on the JPEG.
        album: folder of two or more further photos of the person, for a method that learns from them; it needs
            ``faces="largest"``. A photo that is in it is not protected.
        say: is called with each line that says what will be trained, and how long that takes.

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
            protector = make_protector(
                loaded, method or default_method(loaded, accelerator), overrides, goal=objective, target=target,
                judges=judges, faces=faces, format=format, accelerator=accelerator, trained_in=out, album=album,
                say=say,
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
            its ``box``, its cosines to target and original, and ``judges``; method, settings, target and surrogates.
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


@quietly()
def protect(
    photo: str | Path,
    *,
    suite: str | Suite = "faces",
    method: str | None = None,
    target: str | None = None,
    objective: Goal | None = None,
    judges: Sequence[str] = (),
    faces: Faces = "all",
    format: Format = "png",
    accelerator: str = "auto",
    trained_in: str | Path | None = None,
    album: str | Path | None = None,
    **settings: Any,
) -> ProtectedPhoto:
    """Protect every face of a photo of any size.

    Args:
        photo: image file.
        suite: the suite whose models, target and settings are used; what is not here of them is fetched.
        method: name, ``name:preset`` or ``package.module:Class``; by default the suite's for this device.
        target: name; by default the suite's first.
        objective: impersonation or obfuscation; by default the suite's.
        judges: recognizers that are not attacked, and say how similar a face is before and after.
        faces: every face, each towards the same target, or only the largest one.
        format: png, exact; or jpeg, and the outcome is that of the JPEG.
        accelerator: auto, cpu or gpu.
        trained_in: for a method that must be trained, the --out of a benchmark or of ``facecloak protect``, or a new
            folder: its models are used, and what is missing is trained there.
        album: folder of two or more further photos of the person, for a method that learns from them; it needs
            ``faces="largest"``, and the photo must not be in it.
        **settings: settings of the method, which override those of suite and preset.

    Raises:
        FacecloakError: the photo cannot be read or shows no face, a face could not be protected, a name, a setting
            or weights are wrong or missing, or the method must be trained and ``trained_in`` is None.

    Example:
        >>> protect("me.jpg").save("me.protected.png")  # doctest: +SKIP
    """
    loaded = load_suite(suite) if isinstance(suite, str) else suite
    method = method or default_method(loaded, accelerator)
    protector = make_protector(
        loaded, method, config={method_name(method): settings} if settings else None, goal=objective, target=target,
        judges=judges, faces=faces, format=format, accelerator=accelerator,
        trained_in=None if trained_in is None else Path(trained_in), album=None if album is None else Path(album),
        say=lambda line: None,
    )  # fmt: skip
    file, image, made = protect_photo(protector, Path(photo))
    return ProtectedPhoto(image, file, format, protector.about | made)


def _outcome(protector: Protector, store: PhotoStore, place: Place) -> dict[str, Any]:
    """Protect a photo unless it is done; an error is recorded as this photo's outcome and does not stop the others."""
    shared = {"photo": printable(place.photo), "source_sha256": place.source_sha256, "key": protector.key,
              "links": store.links(place)} | protector.about  # fmt: skip
    before = store.outcome(place.result)
    if before and before["key"] == protector.key and before["source_sha256"] == place.source_sha256:
        outcome = before | shared
        if before["judges"] != protector.judges.about:
            outcome["faces"] = judge_again(protector, place.photo, place.result, before["faces"])
        if outcome != before:
            store.update(place, outcome)
        return outcome | {"done_before": True}
    try:
        file, _, made = protect_photo(protector, place.photo)
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
