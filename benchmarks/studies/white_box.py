"""`python -m benchmarks.studies.white_box RUN`: do attacks reach the recognizers that they attack, and how far?

A run that was made with `--white-box`, impersonation: how many protected photos the attacked recognizers take for the
target's photo that was attacked, and how many for another photo of the target, which is what every judge is asked. The
first shows whether an attack works; the second, how much of it is about the person and not about one photo.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.console import markdown_table, quietly
from benchmarks.harness.judge import Judge
from benchmarks.harness.judging import Judging
from benchmarks.results.scoring import HEADLINE_FAR
from benchmarks.results.store import find_protections, read_protection
from benchmarks.suites.suite import kept_suite
from facecloak.cli.guard import guarded
from facecloak.config import far_key
from facecloak.errors import FacecloakError
from facecloak.io import to_csv, write_bytes
from facecloak.metrics.statistics import rate_of
from facecloak.recognizers import load_recognizer

ATTACKED, ANOTHER = "the attacked photo", "another photo of the target"


def measure(run: Path, suite_name: str) -> pd.DataFrame:
    """Compare the finished pictures of a run with both photos of their targets; nothing is written into the run.

    Returns:
        a line for each picture, attacked recognizer and photo of the target: ``method``, ``recognizer``, ``id``,
        ``with`` (`ATTACKED` or `ANOTHER`), ``cosine``, ``matches`` and, of the unprotected photo, ``matches_clean``.

    Raises:
        FacecloakError: the run has no impersonation on this suite that attacks a recognizer.
    """
    suite = kept_suite(suite_name, run)
    judging = Judging(suite, suite.load_sources())
    targets = [suite.load_target(name, "impersonation") for name in suite.target_names()]
    attacked = {each.name: suite.read_face(each.image, judging.find_face, each.box) for each in targets}
    thresholds: dict[str, float] = {}

    def load(name: str) -> Any:
        recognizer = load_recognizer(name, differentiable=False)
        entry = suite.load_thresholds(name, recognizer.weights_sha256)
        thresholds[name] = entry["fars"][far_key(HEADLINE_FAR)]["threshold"]
        return recognizer

    judges = {
        kind: Judge(load, judging.photos, {}, tests) for kind, tests in ((ATTACKED, attacked), (ANOTHER, judging.tests))
    }
    lines = [line for folder in find_protections([run]) for line in _lines(folder, judging, judges, thresholds)]
    if not lines:
        raise FacecloakError(f"{run} has no impersonation on {suite_name} that attacks a recognizer.")
    return pd.DataFrame(lines)


def _lines(
    folder: Path, judging: Judging, judges: dict[str, Judge], thresholds: dict[str, float]
) -> Iterator[dict[str, Any]]:
    about = read_protection(folder)
    if about["suite"] != judging.suite.name or about["objective"] != "impersonation":
        return
    names = [path.stem for path in sorted((folder / "outcomes").glob("*.json"))]
    pictures = judging.read_pictures(folder, names)
    for recognizer in about["weights"]:
        for kind, judge in judges.items():
            records, _ = judge.judge(recognizer, names, pictures.protected, pictures.errors, about["target"])
            for record in records:
                if record["usable"] and record["detected"]:
                    now, before = record["cosine"]["target"], record["cosine_clean"]["target"]
                    yield {
                        "method": f"{about['method']}:{about['preset']}".removesuffix("*").removesuffix(":default"),
                        "recognizer": recognizer, "id": record["id"], "with": kind, "cosine": now,
                        "matches": now > thresholds[recognizer], "matches_clean": before > thresholds[recognizer],
                    }  # fmt: skip


def table_of(lines: pd.DataFrame) -> pd.DataFrame:
    """Method × rate with each photo of the target, in per cent, with Wilson's 95 % interval; the best first."""
    rows = []
    for method, own in lines.groupby("method"):
        row: dict[str, Any] = {"method": method}
        for kind, part in own.groupby("with"):
            found = rate_of(part["matches"].to_numpy(float))
            row[f"{kind}, %"] = f"{100 * found.value:.1f} ({100 * found.low:.0f} to {100 * found.high:.0f})"
            row[f"unprotected, {kind}, %"] = f"{100 * part['matches_clean'].mean():.1f}"
        rows.append((own.loc[own["with"] == ATTACKED, "matches"].mean(), {**row, "results": len(own) // 2}))
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
        table = table_of(measure(options.run, options.suite))
        print(markdown_table([*table], table.astype(str).to_numpy().tolist()))
        write_bytes(options.out / "white_box.csv", to_csv(table))
        return 0

    with quietly():
        return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
