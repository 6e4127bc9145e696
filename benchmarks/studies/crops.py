"""`python -m benchmarks.studies.crops`: how many true pairs recognizers accept under each crop of the same photos."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.console import quietly, show
from benchmarks.harness.calibrate import calibrate
from benchmarks.suites.rules import FOUND
from benchmarks.suites.suite import load_suite
from facecloak.cli.guard import guarded


def measure(suite_name: str, recognizers: Sequence[str] | None, out: Path) -> pd.DataFrame:
    """Calibrate under the suite's own crop and under the two that a detector finds in each photo.

    Args:
        recognizers: names, by default the suite's.
        out: folder of ``CROP.json``, the entries as `calibrate` writes them.

    Returns:
        per recognizer and crop the true accepts in per cent at each FAR, and the area under the curve, as they are
        shown.

    Raises:
        FacecloakError: the errors of `calibrate`.
    """
    suite = load_suite(suite_name)
    names = [*FOUND] if suite.crop in FOUND else ["fixed", *FOUND]
    measured = {
        name: calibrate(suite, out / f"{name}.json", recognizers=recognizers, crop=name if name in FOUND else None)
        for name in names
    }
    return pd.DataFrame(
        {
            "recognizer": recognizer,
            "crop": name,
            **{f"FAR {far}": f"{100 * point['tar']:.1f}" for far, point in entries[recognizer]["fars"].items()},
            "AUC": f"{entries[recognizer]['auc']:.4f}",
        }
        for recognizer in next(iter(measured.values()))
        for name, entries in measured.items()
    )


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print; writes ``crops.csv`` below ``--out``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.crops", description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="celeba_hq_pairs", help="name or path of a YAML file (celeba_hq_pairs)")
    parser.add_argument("--recognizers", help="comma-separated (default: the suite's)")
    parser.add_argument("--out", type=Path, default=Path("runs/crops"), help="folder (default: runs/crops)")
    options = parser.parse_args(arguments)

    @quietly()
    def work() -> int:
        table = measure(options.suite, options.recognizers and options.recognizers.split(","), options.out)
        print(f"True accepts in per cent, suite {options.suite}\n")
        show(options.out, "crops", table)
        print(f"wrote {options.out / 'crops.csv'}")
        return 0

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
