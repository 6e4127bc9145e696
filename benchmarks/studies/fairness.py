"""`python -m benchmarks.studies.fairness RUN`: rates by skin tone and sex, for runs of `pocket`.

The people of pocket are drawn from numbers, so that skin tone and sex are known by construction: nobody was asked to
guess them from a photo. What follows is about drawn people and recognizers that were trained on drawn people.

Use runs of obfuscation (`facecloak benchmark pocket --objective obfuscation --limit 6`): all 24 people have the same
target there. Under impersonation, the people of one target are of one sex and of similar skin, so that a difference
between groups may be one between targets.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.console import quietly, show
from benchmarks.leaderboard.averages import name_methods
from benchmarks.leaderboard.results import Results, load_results
from benchmarks.results.table import headline_far
from facecloak.cli.guard import guarded
from facecloak.errors import FacecloakError
from facecloak.metrics.statistics import Estimate, bootstrap_mean, number_text
from facecloak.pocket.drawing.identity import identities

SUITE = "pocket"
GROUPS = {"sex": ("women", "men"), "skin": ("lighter", "darker")}
EVEN = 0.55  # of the parameter melanin, 0 to 1: 10 and 14 of the suite's people are on the two sides
# column of `measure` → its name in the tables; all in per cent
MEASURES = {
    "psr": "PSR", "psr_clean": "PSR, unprotected", "dodging": "dodging",
    "known": "unprotected photo matched to the same person",
}  # fmt: skip


def describe(people: list[str]) -> pd.DataFrame:
    """``sex`` and ``skin`` of people by the number that they are drawn from.

    Raises:
        FacecloakError: a name is not a number, so the photo is not one of pocket's.
    """
    if odd := [name for name in people if not name.isdigit()]:
        raise FacecloakError(f"{odd[0]} is not one of the people of suite {SUITE}, so skin tone and sex are unknown.")
    drawn = identities([int(name) for name in people])
    sex = ["women" if value > 0.5 else "men" for value in drawn.feminine.flatten().tolist()]
    skin = ["darker" if value > EVEN else "lighter" for value in drawn.melanin.flatten().tolist()]
    return pd.DataFrame({"sex": sex, "skin": skin}, index=people)


def measure(results: Results) -> pd.DataFrame:
    """A line for each photo and black-box judgement: ``method``, ``id``, `MEASURES` (100, 0 or NaN), ``sex``, ``skin``.

    Raises:
        FacecloakError: there are no black-box results of pocket, or of two objectives.
    """
    rows = results.plain[(results.plain["suite"] == SUITE) & ~results.plain["white_box"].astype(bool)]
    if rows.empty:
        raise FacecloakError(f"These runs have no black-box results of suite {SUITE}.")
    if rows["objective"].nunique() > 1:
        raise FacecloakError("These runs have two objectives, whose rates are not the same thing: give runs of one.")
    rows, parts = name_methods(rows), []
    for row in rows[rows["far"] == headline_far(rows["far"])].to_dict("records"):
        records, threshold, kind = results.records[row["run_id"]], row["threshold"], row["objective"]
        parts.append(pd.DataFrame({
            "method": row["name"].removesuffix(":default"), "id": records.ids,
            "psr": 100 * records.outcomes(kind, threshold), "psr_clean": 100 * records.outcomes(kind, threshold, True),
            "dodging": 100 * records.outcomes("obfuscation", threshold),
            "known": 100 * (1 - records.outcomes("obfuscation", threshold, True)),
        }))  # fmt: skip
    lines = pd.concat(parts, ignore_index=True)
    return lines.join(describe(sorted(lines["id"].unique())), on="id")


def compare(lines: pd.DataFrame) -> pd.DataFrame:
    """A line for each method, measure and kind of group: the rate of both groups, and their difference.

    Returns:
        ``method``, ``measure``, ``groups``, ``first``, ``second`` (per cent), ``n_first``, ``n_second`` (people), and
        the difference first − second with its 95 % interval, ``difference``, ``low``, ``high``: bootstrap over people,
        each group drawn by itself.
    """
    found = []
    for method, own in lines.groupby("method", sort=True):
        for column, text in MEASURES.items():
            for kind, names in GROUPS.items():
                sides = [own[own[kind] == name] for name in names]
                means = [bootstrap_mean(side[column], side["id"]) for side in sides]
                change = _difference(sides, column)
                found.append({
                    "method": method, "measure": text, "groups": " − ".join(names), "first": means[0].mean,
                    "second": means[1].mean, "n_first": means[0].n, "n_second": means[1].n,
                    "difference": change.mean, "low": change.low, "high": change.high,
                })  # fmt: skip
    return pd.DataFrame(found)


def _difference(sides: list[pd.DataFrame], column: str, resamples: int = 4000) -> Estimate:
    """Mean of the first minus mean of the second, with a percentile interval from resampling people in each."""
    random, drawn, means = np.random.default_rng(0), [], []
    for side in sides:
        by_person = side.dropna(subset=[column]).groupby("id")[column].agg(["sum", "count"])
        n = len(by_person)
        if n < 2:
            return Estimate(math.nan, math.nan, math.nan, n)
        counts = random.multinomial(n, np.full(n, 1 / n), resamples)
        drawn.append(counts @ by_person["sum"].to_numpy() / (counts @ by_person["count"].to_numpy()))
        means.append(by_person["sum"].sum() / by_person["count"].sum())
    low, high = np.percentile(drawn[0] - drawn[1], (2.5, 97.5))
    return Estimate(float(means[0] - means[1]), float(low), float(high), sum(side["id"].nunique() for side in sides))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table with texts for people."""
    heads = ["method", "measure, %", "groups", "first", "second", "people", "difference", "95 %"]
    lines = [
        [row["method"], row["measure"], row["groups"], f"{row['first']:.1f}", f"{row['second']:.1f}",
         f"{row['n_first']} and {row['n_second']}", number_text(row["difference"]),
         f"{number_text(row['low'])} to {number_text(row['high'])}"]
        for row in table.to_dict("records")
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=heads)


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print and write ``fairness.csv``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.fairness", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the --out of benchmarks of pocket")
    parser.add_argument("--out", type=Path, default=Path("runs/fairness"), help="folder (default: runs/fairness)")
    options = parser.parse_args(arguments)

    def run() -> int:
        show(options.out, "fairness", shown(compare(measure(load_results(*options.runs)))))
        print(f"wrote fairness.csv below {options.out}")
        return 0

    with quietly():
        return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
