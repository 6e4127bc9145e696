"""`python -m benchmarks.studies.white_box RUN`: do attacks reach the recognizers that they attack, and how far?

A run that was made with `--white-box`, impersonation: how many protected photos the attacked recognizers take for the
target's photo that was attacked, and how many for another photo of the target, which is what every judge is asked. The
first shows whether an attack works; the second, how much of it is about the person and not about one photo. Intervals
are Wilson's, computed as if a photo had one result.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.console import quietly, show
from benchmarks.harness.finished import complete, load_adversary, names_of, open_run
from benchmarks.harness.judge import Judge
from benchmarks.results.records import to_columns
from facecloak.cli.guard import guarded
from facecloak.errors import FacecloakError
from facecloak.metrics.statistics import estimate_text, number_text, rate_over_clusters

ATTACKED, ANOTHER = "the attacked photo", "another photo of the target"


def measure(run: Path, suite_name: str) -> pd.DataFrame:
    """Compare the finished pictures of a run with both photos of their targets; nothing is written into the run.

    Returns:
        a line for each photo, attacked recognizer and photo of the target: ``method``, ``recognizer``, ``id``,
        ``with`` (`ATTACKED` or `ANOTHER`), ``cosine``, ``matches`` and, of the unprotected photo, ``matches_clean``:
        100 or 0, NaN where there is no rate; a photo that the method failed on matches nobody.

    Raises:
        FacecloakError: the run has no impersonation on this suite that attacks a recognizer, or pictures, photos or
            weights are missing or have changed.
    """
    judging, protections = open_run(run, suite_name)
    protections = {
        folder: about
        for folder, about in protections.items()
        if about["objective"] == "impersonation" and about["weights"]
    }
    if not protections:
        raise FacecloakError(f"{run} has no impersonation on {suite_name} that attacks a recognizer.")
    suite, names, parts = judging.suite, names_of(protections), []
    attacked = sorted({name for about in protections.values() for name in about["weights"]})
    adversaries = {name: load_adversary(suite, name) for name in attacked}
    targets = [suite.load_target(name, "impersonation") for name in suite.target_names()]
    photos = {each.name: suite.read_face(each.image, judging.find_face, each.box) for each in targets}
    judges = {
        kind: Judge(lambda name: adversaries[name].recognizer, judging.photos, {}, tests)
        for kind, tests in ((ATTACKED, photos), (ANOTHER, judging.tests))
    }
    for folder, about in protections.items():
        own, pictures, _ = complete(judging, folder, about)
        for name, (kind, judge) in product(about["weights"], judges.items()):
            records = to_columns(judge.judge(name, own, pictures.protected, pictures.errors, about["target"])[0])
            now, clean = (
                100 * records.outcomes("impersonation", adversaries[name].threshold, clean) for clean in (False, True)
            )
            parts.append(pd.DataFrame({
                "method": names[folder], "recognizer": name, "id": own, "with": kind,
                "cosine": records.cosine["target"], "matches": now, "matches_clean": clean,
            }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def table_of(lines: pd.DataFrame) -> pd.DataFrame:
    """Method × rate with each photo of the target, in per cent, and its 95 % interval; the best first."""
    rows = []
    for method, own in lines.groupby("method"):
        row: dict[str, Any] = {"method": method}
        for kind, part in own.groupby("with"):
            row[f"{kind}, %"] = estimate_text(rate_over_clusters(part["matches"], part["id"]))
            row[f"unprotected, {kind}, %"] = number_text(part["matches_clean"].mean())
        matches = own.loc[own["with"] == ATTACKED, "matches"]
        rows.append((matches.mean(), {**row, "results": matches.count()}))
    table = pd.DataFrame([row for _, row in sorted(rows, key=lambda each: -each[0])])
    kinds = [f"{before}{kind}, %" for kind in (ATTACKED, ANOTHER) for before in ("", "unprotected, ")]
    return table[["method", *kinds, "results"]]


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print and write ``white_box.csv``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.white_box", description=__doc__.splitlines()[0]
    )  # fmt: skip
    parser.add_argument("run", type=Path, metavar="RUN", help="the --out of a benchmark with --white-box; only read")
    parser.add_argument("--suite", default="pocket", help="its suite (default: pocket)")
    parser.add_argument("--out", type=Path, default=Path("runs/white_box"), help="default: runs/white_box")
    options = parser.parse_args(arguments)

    def work() -> int:
        show(options.out, "white_box", table_of(measure(options.run, options.suite)))
        return 0

    with quietly():
        return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
