"""`python -m benchmarks.studies.fast`: what `facecloak:fast` costs and gains beside `facecloak`, photo by photo.

Both protect the same photos for the same judges. The ratio of their seconds is measured in turn in one process, and is
only shown if the fast one loses no more than `ALLOWED`. With ``--variants``: what the fast one would be with one thing
changed, for people who are not in the suite (`facecloak.pocket.train --stages tuning`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.console import RunProgress, quietly, show
from benchmarks.harness.methods import load_method
from benchmarks.harness.plan import Request, make_plan
from benchmarks.harness.runner import Runner
from benchmarks.results.store import protections_folder
from benchmarks.studies.ablation import CELL, MEASURES, measure, verdict
from benchmarks.studies.fast_variants import FAST, OTHERS, VARIANTS
from benchmarks.suites.suite import load_suite
from facecloak.cli.guard import guarded
from facecloak.errors import FacecloakError
from facecloak.io import read_json
from facecloak.metrics.statistics import bootstrap_mean, interval_text, number_text

EXACT = "facecloak"
ALLOWED = {"psr": -1.0, "psnr": -0.3}  # points of PSR and dB of PSNR that the fast one may lose in the mean
SPEED_PHOTOS, REPETITIONS = 6, 3


def run_variant(
    options: argparse.Namespace, spec: str, settings: dict[str, Any], judges: list[str] | None
) -> pd.DataFrame:
    """`measure` of a method on the suite's targets; what is there already is not made again."""
    suite = load_suite(options.suite)
    name = spec if spec in (EXACT, FAST) else spec.partition(":")[2]
    config = {name: {**(suite.methods[FAST] if name != EXACT else {}), **settings}}
    plan = make_plan(suite, Request(
        out=options.out, methods=[spec], config=config, objective="impersonation", limit=options.limit,
        black_boxes=judges, targets=suite.default_targets or suite.target_names(), accelerator=options.accelerator,
        batch_size=options.batch_size,
    ))  # fmt: skip
    table = Runner(plan, RunProgress()).run()
    if table[["n_failed", "n_unusable"]].sum().sum():
        raise FacecloakError(f"{name}: photos failed; `error` in the outcomes below {options.out} says why.")
    return measure(options.out, table).assign(passes=_passes(options.out, table))


def _passes(out: Path, table: pd.DataFrame) -> float:
    """The mean number of a photo's UNet passes; a photo's row leaves no trace in those of its batch."""
    outcomes = [
        read_json(path)["unet_passes"]
        for name in table["protection"].unique()
        for path in (protections_folder(out) / name / "outcomes").glob("*.json")
    ]
    return sum(outcomes) / len(outcomes)


def speed(suite_name: str, accelerator: str) -> dict[str, float]:
    """Median seconds per photo of both, measured in turn on the same photos and surrogates."""
    suite, seconds = load_suite(suite_name), {EXACT: [], FAST: []}
    batch = suite.batch(target=suite.target_names()[0], limit=SPEED_PHOTOS)
    batch = type(batch)(batch.ids[:SPEED_PHOTOS], batch.images[:SPEED_PHOTOS], batch.boxes[:SPEED_PHOTOS])
    judge = suite.recognizers[-1]
    methods = {
        name: load_method(name, suite, target=suite.target_names()[0], black_box=judge, accelerator=accelerator)
        for name in seconds
    }
    for repetition in range(-1, REPETITIONS):  # the first is for warming up
        for name, method in methods.items():
            getattr(method, "_starts", {}).clear()
            began = time.perf_counter()
            method.predict_step(batch)
            if repetition >= 0:
                seconds[name].append((time.perf_counter() - began) / len(batch.ids))
    return {name: statistics.median(found) for name, found in seconds.items()}


def summaries(measured: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A line per variant: the means of its results.

    Args:
        measured: variant → `measure`.
    """
    return pd.DataFrame(
        {
            "variant": name,
            **{title: round(found[column].mean(), digits) for column, (title, digits) in MEASURES.items()},
        }
        for name, found in measured.items()
    )


def differences(measured: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A line per measure: fast − exact, result by result, with an interval over photos."""
    exact, lines = measured[EXACT].set_index(CELL), []
    for column, (title, digits) in MEASURES.items():
        change = measured[FAST].set_index(CELL)[column] - exact[column]
        found = bootstrap_mean(change, change.index.get_level_values("source"))
        lines.append({
            "fast − exact": title, "mean": number_text(found.mean, digits), "95 %": interval_text(found, digits),
            "in words": verdict(found),
        })  # fmt: skip
    return pd.DataFrame(lines)


def losses(measured: dict[str, pd.DataFrame]) -> list[str]:
    """What the fast one loses more of than is allowed, in words."""
    means = {column: measured[FAST][column].mean() - measured[EXACT][column].mean() for column in ALLOWED}
    return [f"{MEASURES[column][0]}: {mean:+.2f}" for column, mean in means.items() if mean < ALLOWED[column]]


def run_study(options: argparse.Namespace) -> int:
    """Run what is missing; print and write ``fast.csv`` and the like, or ``fast_variants.csv``."""
    suite = load_suite(options.suite)
    judges = options.black_boxes.split(",") if options.black_boxes else None
    if options.variants:
        judges = judges or [name for name in suite.recognizers if name not in suite.held_out]
        chosen = {FAST: (FAST, {}), **VARIANTS}
        found = {name: run_variant(options, *variant, judges) for name, variant in chosen.items()}
        passes = [round(each["passes"].mean(), 1) for each in found.values()]
        show(options.out, "fast_variants", summaries(found).assign(**{"UNet passes per photo": passes}))
        return 0
    measured = {name: run_variant(options, name, {}, judges) for name in (EXACT, FAST)}
    show(options.out, "fast", summaries(measured))
    show(options.out, "fast_differences", differences(measured))
    if too_much := losses(measured):
        print(f"No ratio is shown, since the fast one loses more than allowed: {'; '.join(too_much)}.", file=sys.stderr)
        return 1
    found = speed(options.suite, options.accelerator)
    seconds = {name: f"{value:.3f}" for name, value in found.items()}
    ratio = f"{found[EXACT] / found[FAST]:.1f}"
    show(options.out, "fast_speed", pd.DataFrame([{"seconds per photo": options.suite, **seconds, "ratio": ratio}]))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.fast", description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="pocket", help="name or path of a YAML file (default: pocket)")
    parser.add_argument("--limit", type=int, default=10**6, metavar="N", help="photos of each group (default: all)")
    parser.add_argument("--black-boxes", metavar="A,B", help="judges (default: all recognizers)")
    parser.add_argument("--variants", action="store_true", help="with one thing changed each, held-out judges left out")
    parser.add_argument("--batch-size", type=int, default=8, help="photos at once (default: 8)")
    parser.add_argument("--accelerator", default="auto", choices=["auto", "cpu", "gpu"])
    parser.add_argument("--out", type=Path, default=Path("runs/fast"), help="run again to resume (runs/fast)")
    options = parser.parse_args(arguments)
    if options.limit < 1:
        parser.error(f"argument --limit: must be at least 1, got {options.limit}")
    if options.variants and options.suite != "pocket":
        parser.error("argument --variants: for --suite pocket only, whose thresholds and other people they use")
    if options.variants and options.limit > OTHERS:
        parser.error(f"argument --limit: at most {OTHERS} with --variants, some of which learn from the other photos")
    return guarded(quietly()(lambda: run_study(options)), "Run the same command again to go on.")


if __name__ == "__main__":
    sys.exit(main())
