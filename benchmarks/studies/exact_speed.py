"""`python -m benchmarks.studies.exact_speed`: what makes the exact method faster at equal pictures, and what does not.

Each variant and the method as it is protect the same photos, in turn, in one process. No ratio is shown unless both
make the same pictures up to rounding, that is to one grey level in all but 2 % of the pixels.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from benchmarks.console import quietly, show
from benchmarks.harness.methods import load_method
from benchmarks.studies.batch_speed import TOLERATED
from benchmarks.suites.suite import load_suite
from facecloak.cli.guard import guarded
from facecloak.cloak.method import FaceCloak
from facecloak.data import Batch, to_uint8
from facecloak.errors import FacecloakError

SHORT = {"embedding_iterations": 4, "iterations": 4}  # each stage in the suite's proportion, in a fifth of the time


def channels_last(method: FaceCloak) -> None:
    """Networks whose channels are next to each other in memory."""
    for network in (method.backbone.unet, method.backbone.vae, *method.objective.surrogates):
        network.to(memory_format=torch.channels_last)


def compiled(method: FaceCloak) -> None:
    """Decoder and recognizers by torch.compile; the UNet's attention processors are Python that it cannot follow."""
    method.backbone.vae.decoder.compile()
    for surrogate in method.objective.surrogates:
        surrogate.network.compile()


VARIANTS: dict[str, Callable[[FaceCloak], None]] = {"channels-last": channels_last, "torch.compile": compiled}
ALONE = "one photo at a time"


def protect(method: FaceCloak, batches: list[Batch]) -> tuple[torch.Tensor, float]:
    """The pictures, and the seconds that they took."""
    method._starts.clear()
    began = time.perf_counter()
    made = torch.cat([method.predict_step(batch).images for batch in batches])
    return made, time.perf_counter() - began


def compare(load: Callable[[], FaceCloak], batch: Batch, names: list[str], repetitions: int) -> pd.DataFrame:
    """A line per variant: its seconds per photo, those of the method as it is, and how often faster it is.

    Raises:
        FacecloakError: a variant makes other pictures.
    """
    lines = []
    for name in names:
        plain, other = load(), load()
        if name in VARIANTS:
            VARIANTS[name](other)
        parts = [Batch([one], batch.images[k : k + 1], batch.boxes[k : k + 1]) for k, one in enumerate(batch.ids)]
        seconds: dict[str, list[float]] = {"plain": [], "other": []}
        for repetition in range(repetitions + 1):  # the first one is for warming up
            expected, took = protect(plain, [batch])
            found, changed = protect(other, parts if name == ALONE else [batch])
            if repetition:
                seconds["plain"].append(took / len(parts))
                seconds["other"].append(changed / len(parts))
        steps = abs(to_uint8(expected).astype(int) - to_uint8(found).astype(int)).max(-1)
        different = float((steps > 1).mean())
        if different > TOLERATED:
            raise FacecloakError(f"{name}: {different:.1%} of the pixels differ by more than 1, so no ratio is shown.")
        as_it_is, variant = (statistics.median(found) for found in seconds.values())
        lines.append({
            "variant": name, "seconds per photo": f"{variant:.2f}", "as it is": f"{as_it_is:.2f}",
            "times faster": f"{as_it_is / variant:.2f}", "pixels off by more than 1": f"{different:.2%}",
        })  # fmt: skip
    return pd.DataFrame(lines)


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    known = [ALONE, *VARIANTS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.exact_speed", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--variants", default=",".join(known), help=f"comma-separated (default: {','.join(known)})")
    parser.add_argument("--images", type=int, default=6, help="photos at once, of pocket's first target (default: 6)")
    parser.add_argument("--repetitions", type=int, default=3, help="of which the median counts (default: 3)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("runs/exact_speed"), help="folder of exact_speed.csv")
    options = parser.parse_args(arguments)
    names = options.variants.split(",")
    if unknown := [name for name in names if name not in known]:
        parser.error(f"--variants: there is no {unknown[0]!r}; there are {', '.join(known)}")
    torch.set_num_threads(options.threads)

    def run() -> int:
        suite = load_suite("pocket")
        batch = suite.batch(target="1", limit=options.images)
        table = compare(
            lambda: load_method("facecloak", suite, target="1", black_box="pocket_dense", accelerator="cpu", **SHORT),
            batch, names, options.repetitions,
        )  # fmt: skip
        show(options.out, "exact_speed", table)
        return 0

    with quietly():
        return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
