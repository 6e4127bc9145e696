"""`python -m benchmarks.studies.reference_speed`: the speed of the method and the plain reference, with equal weights.

No time is shown unless both compute the same results.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import torch
from rich.table import Table

from benchmarks.console import wide_console
from facecloak.errors import FacecloakError

if TYPE_CHECKING:
    from tests.reference.side_by_side import Side

# how often one image needs each stage with the released settings; a timestep's last embedding is run once more
IMAGE = {
    "reference": {"inversion step": 19 + 3, "embedding step": 60, "adversarial iteration": 30},
    "method": {"inversion step": 3 + 3, "embedding step": 60, "source maps": 1, "adversarial iteration": 30},
}


def table(sides: dict[str, Side], found: dict[str, float], title: str) -> Table:
    """Median seconds of each stage, the estimate for an image, peak memory, and the ratios."""
    view = Table("", "reference", "method", "ratio", title=title)
    reference, method = sides["reference"], sides["method"]
    for stage in IMAGE["method"]:
        view.add_row(f"{stage} (s)", *_row(reference.median(stage), method.median(stage), "{:.3f}"))
    view.add_row(
        "whole image, estimated (s)",
        *_row(*(_image_seconds(sides[name], name) for name in sides), "{:.0f}"),
    )
    if None not in reference.peaks + method.peaks:  # later repetitions start with memory that the allocator kept
        view.add_row("peak memory of the loop (MB)", *_row(min(reference.peaks), min(method.peaks), "{:.0f}"))
    view.caption = f"largest difference: gradient {found['gradient']:.1e} (relative), latent {found['latent']:.1e}"
    return view


def _image_seconds(side: Side, name: str) -> float:
    return sum(count * side.median(stage) for stage, count in IMAGE[name].items())


def _row(reference: float | None, method: float, form: str) -> list[str]:
    if reference is None:
        return ["–", form.format(method), "–"]
    return [form.format(reference), form.format(method), f"{reference / method:.2f}"]


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.reference_speed", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--size", choices=["tiny", "sd2"], default="tiny", help="random weights of this size")
    parser.add_argument("--golden", action="store_true", help="use the golden files' model, recognizers and images")
    parser.add_argument("--iterations", type=int, help="adversarial iterations per repetition (tiny 3, sd2 1)")
    parser.add_argument("--repetitions", type=int, help="default: tiny 3, sd2 1")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    small = options.size == "tiny"
    try:
        try:
            from tests.reference.prepare import prepare
            from tests.reference.side_by_side import compare, differences
        except ImportError:
            raise FacecloakError(
                "The plain reference is in tests/reference, which is not installed: run this in the root of a clone."
            ) from None
        models, case = prepare(options.size, options.golden, getattr(torch, options.dtype))
        case.iterations = options.iterations or (3 if small else 1)
        sides = compare(models, case, options.repetitions or (3 if small else 1))
    except FacecloakError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    name = "golden" if options.golden else options.size
    title = f"{name}, {options.dtype}, {case.image.device}, {case.iterations} iterations, 1 CPU thread"
    wide_console().print(table(sides, differences(sides), title))
    return 0


if __name__ == "__main__":
    sys.exit(main())
