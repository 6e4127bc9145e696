"""`python -m benchmarks.studies.batch_speed`: the speed of a batch and of the same photos one by one, in one process.

No ratio is shown unless both make the same pictures up to rounding, that is in all but 2 % of the pixels.
"""

from __future__ import annotations

import argparse
import sys
from itertools import cycle, islice

import torch
from rich.table import Table

from benchmarks.console import quietly, wide_console
from benchmarks.harness.methods import load_objective, resolve_methods
from benchmarks.suites.suite import load_suite
from facecloak.cli.guard import guarded
from facecloak.data import Batch, to_tensor, to_uint8
from facecloak.errors import FacecloakError
from facecloak.method import ProtectionMethod

# Sums are rounded differently in another batch: where a gradient is close to 0, its sign, and so the pixel, may differ.
TOLERATED = 0.02


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.batch_speed", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--suite", default="pocket", help="photos, target and recognizers (default: pocket)")
    parser.add_argument("--methods", default="pgd:single,mi_fgsm:single,ti_dim:single,tip_im:single")
    parser.add_argument("--images", type=int, default=32, help="images in the batch (default: 32)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    parser.add_argument("--repetitions", type=int, default=3, help="the median is shown (default: 3)")
    options = parser.parse_args(arguments)
    for name in ("images", "threads", "repetitions"):
        if getattr(options, name) < 1:
            parser.error(f"argument --{name}: must be at least 1, got {getattr(options, name)}")
    torch.set_num_threads(options.threads)
    with quietly():
        return guarded(lambda: _run(options), smaller="--images or model")


def _run(options: argparse.Namespace) -> int:
    view = Table("", "recognizers", "alone, s/image", "together", "ratio", "pixels that differ")
    for name, surrogates, method, batch in _load(options.suite, options.methods.split(","), options.images):
        alone, together, different = compare(method, batch, options.repetitions)
        if different > TOLERATED:
            raise FacecloakError(f"{name}: {different:.1%} of the pixels differ, so the times cannot be compared.")
        numbers = (f"{alone:.3f}", f"{together:.3f}", f"{alone / together:.2f}", f"{different:.2e}")
        view.add_row(name, ", ".join(surrogates), *numbers)
    view.title = f"{options.suite}, {options.images} images, {options.threads} CPU threads"
    wide_console().print(view)
    return 0


def compare(method: ProtectionMethod, batch: Batch, repetitions: int) -> tuple[float, float, float]:
    """Median seconds per image, alone and in a batch, measured in turns, and the share of 8-bit pixels that differ."""
    single = [
        Batch([name], batch.images[index : index + 1], batch.boxes[index : index + 1])
        for index, name in enumerate(batch.ids)
    ]
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repetitions):
        pictures = []
        for kind, batches in enumerate((single, [batch])):
            made = [method.predict_step(part) for part in batches]
            seconds[kind].append(sum(part.seconds for part in made) / len(batch.ids))
            pictures.append(torch.cat([part.images for part in made]))
    alone, together = (sorted(values)[len(values) // 2] for values in seconds)
    return alone, together, differing(*pictures)


def differing(first: torch.Tensor, second: torch.Tensor) -> float:
    """The share of 8-bit pixels that differ, of two B×3×H×W batches in [-1, 1]."""
    return float((to_uint8(first) != to_uint8(second)).any(-1).mean())


def _load(suite_name: str, names: list[str], count: int):
    """(name, surrogates, method, batch) of each method, with the suite's first target and last recognizer as judge."""
    suite = load_suite(suite_name)
    find_face, target = suite.find_face(), suite.load_target(None, suite.objective)
    photos = [suite.read(source.path, find_face) for source in suite.load_sources(count)]
    usable = list(islice(cycle([photo for photo in photos if not photo.error]), count))
    if not usable:
        raise FacecloakError(f"Suite {suite.name}: none of {len(photos)} photos is usable.")
    boxes = torch.tensor([photo.box for photo in usable])
    batch = Batch([f"{index}" for index in range(count)], to_tensor(photo.image for photo in usable), boxes)
    for method in resolve_methods(suite, names):
        surrogates = method.cls.pick_surrogates(method.settings, suite.surrogates_for(suite.recognizers[-1:]))
        objective = load_objective(suite, method, suite.objective, target, surrogates, find_face)
        yield f"{method.name}:{method.preset}", surrogates, method.cls(method.settings, objective), batch


if __name__ == "__main__":
    sys.exit(main())
