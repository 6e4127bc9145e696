"""`facecloak demo`: protect, judge and show one photo; the shortest version of what the project does."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from rich.table import Table

from benchmarks.console import progress, quietly, stage_reporter, wide_console
from benchmarks.harness.calibrate import ensure_thresholds
from benchmarks.harness.devices import pick_device
from benchmarks.harness.judge import Judge
from benchmarks.harness.methods import load_objective, resolve_methods
from benchmarks.harness.needs import fetch_needed
from benchmarks.harness.quality import Quality
from benchmarks.results.pictures import GAIN, difference, write_picture
from benchmarks.results.records import Record, to_columns
from benchmarks.results.table import headline_far
from benchmarks.suites.suite import Suite, Target, load_suite
from facecloak.config import far_key
from facecloak.data import Batch, FindFace, Photo, to_tensor, to_uint8
from facecloak.errors import FacecloakError
from facecloak.io import sha256, writable, write_png
from facecloak.method import ProtectionMethod
from facecloak.recognizers import load_recognizer, weights_file


def run(options: argparse.Namespace) -> int:
    """Run the demo with the options that were typed."""
    return run_demo(options.suite, options.out)


@quietly()
def run_demo(suite_name: str, out: Path) -> int:
    """Protect the suite's first photo against its first target, judge the saved picture, and print the result.

    The suite's first held-out recognizer (or, without one, its first recognizer) is not attacked. Writes
    ``original.png``, ``protected.png`` and ``demo.png`` (both and their difference) below ``out``.

    Raises:
        FacecloakError: the photo cannot be used, or could not be protected.
    """
    writable(out)
    suite, device = load_suite(suite_name), pick_device("auto")
    (method,) = resolve_methods(suite, ["facecloak"])
    suite.require_sources()
    fetch_needed(suite, suite.recognizers, [method.settings])
    ensure_thresholds(suite, suite.recognizers)
    find_face, target = suite.find_face(), suite.load_target(None, "impersonation")
    original = _first_photo(suite, target, find_face)
    names = suite.surrogates_for([*suite.held_out, *suite.recognizers][:1])
    far = headline_far(suite.fars)
    weights = {name: sha256(weights_file(name)) for name in suite.recognizers}
    entries = {name: suite.load_thresholds(name, weights[name]) for name in suite.recognizers}
    thresholds = {name: entry["fars"][far_key(far)]["threshold"] for name, entry in entries.items()}

    objective = load_objective(suite, method, "impersonation", target, names, find_face)
    seconds = _protect(method.cls(method.settings, objective), original, out / "protected.png", device)

    protected = suite.read(out / "protected.png", find_face)
    tests = {target.name: suite.read_face(target.test, find_face, target.test_box)}
    judge = Judge(lambda name: load_recognizer(name, False, device), {"demo": original}, {}, tests, device)
    records = {
        name: judge.judge(name, ["demo"], {"demo": protected}, {}, target.name)[0] for name in suite.recognizers
    }  # fmt: skip
    quality = Quality(suite.features).measure(protected, original)

    pictures = [original.image, protected.image, difference(protected.image, original.image)]
    write_png(out / "original.png", original.image)
    write_picture(out / "demo.png", ["original", "protected", f"difference x{GAIN}"], [pictures])
    wide_console().print(_table(records, names, thresholds, far, target))
    psnr = "identical" if quality["identical"] else f"{quality['psnr']:.1f} dB"
    print(f"PSNR {psnr}, SSIM {quality['ssim']:.3f}, {seconds:.1f} seconds")
    print(f"wrote original.png, protected.png and demo.png below {out}")
    return 0


def _first_photo(suite: Suite, target: Target, find_face: FindFace) -> Photo:
    source = next((source for source in suite.load_sources(1) if source.group in (None, target.name)), None)
    if source is None:
        raise FacecloakError(f"Suite {suite.name}: no group of sources is named {target.name} like its first target.")
    photo = suite.read(source.path, find_face)
    if photo.error:
        raise FacecloakError(f"Suite {suite.name}: its first photo cannot be used: {photo.error}.")
    return photo


def _protect(method: ProtectionMethod, photo: Photo, path: Path, device: torch.device) -> float:
    """Write the protected photo; returns the method's seconds."""
    method.to(device)
    batch = Batch(["demo"], to_tensor([photo.image]).to(device), torch.tensor([photo.box], device=device))
    with progress(total=1, desc="protecting", unit="photo") as bar:
        method.on_progress = stage_reporter(bar)
        made = method.predict_step(batch)
    if made.errors[0]:
        raise FacecloakError(f"The photo could not be protected: {made.errors[0]}.")
    write_png(path, to_uint8(made.images)[0])
    return made.seconds


def _table(
    records: dict[str, list[Record]], surrogates: list[str], thresholds: dict[str, float], far: float, target: Target
) -> Table:
    """A line per recognizer: is the photo taken for the target, before and after?"""
    title = f"similarity to a photo of target {target.name} that the attack did not use"
    view = Table("recognizer", "", "before → after", f"threshold at FAR {far:g}", "matched", title=title)
    for name, threshold in thresholds.items():
        columns = to_columns(records[name])
        cosines = [float(each["target"][0]) for each in (columns.cosine_clean, columns.cosine)]
        matched = [columns.outcomes("impersonation", threshold, clean)[0] == 1 for clean in (True, False)]
        view.add_row(
            name,
            "surrogate" if name in surrogates else "black box",
            " → ".join("no face" if math.isnan(cosine) else f"{cosine:.2f}" for cosine in cosines),
            f"{threshold:.2f}",
            " → ".join("yes" if each else "no" for each in matched),
        )
    return view
