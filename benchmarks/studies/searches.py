"""`python -m benchmarks.studies.searches`: the same search of its settings for each method, on people of no suite.

For each file in ``sweeps/pocket`` it runs the trials of ``facecloak sweep FILE``, as many as its ``run_cap``, with the
same values, but in one process, and the suite's own settings. The best two of them, and the suite's own, are then
measured on more photos, since the best of a dozen results of 8 photos owes some of its score to luck.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.console import quietly, show
from benchmarks.sweep.files import Sweep, load_sweep
from benchmarks.sweep.study import ask, open_study
from benchmarks.sweep.trial import run_trial
from facecloak.cli.guard import guarded
from facecloak.errors import FacecloakError
from facecloak.io import to_csv, write_bytes

FILES = Path(__file__).parents[2] / "sweeps" / "pocket"
KEPT = 2
FEW, MORE = 1, 3  # photos of each target
OWN, SUITES_OWN = -1, "the suite's own"
MEASURED = ["PSR %", "PSNR dB", "score"]


@dataclass(frozen=True)
class Trial:
    """One measurement.

    Attributes:
        method: as in ``--methods``.
        number: of the trial, from 0; `OWN` for the suite's own settings.
        settings: ``name=value`` of each parameter; empty for the suite's own.
    """

    method: str
    number: int
    settings: tuple[str, ...]

    def measure(self, sweep: Sweep, out: Path, limit: int) -> dict[str, str | int | float]:
        """A line of the table: the score on ``limit`` photos of each target, made or read from ``out``.

        The PSNR is NaN if no picture has one: all have failed, or are identical to their sources.
        """
        place = next(place for place, part in enumerate(sweep.arguments) if part == "${args}")
        typed = [f"--limit={limit}", f"--out={out}", *(f"--{setting}" for setting in self.settings)]
        found = run_trial([*sweep.arguments[:place], *typed], lambda *values: None)
        own = [setting.removeprefix(f"{self.method}.") for setting in self.settings]
        return {
            "method": self.method, "trial": self.number, "settings": ", ".join(own) or SUITES_OWN,
            "photos of a target": limit, "PSR %": round(found["psr"], 1),
            "PSNR dB": round(found.get("psnr", math.nan), 1), "score": round(found["objective"], 1),
        }  # fmt: skip


def trials_of(sweep: Sweep) -> Iterator[Trial]:
    """The suite's own settings, and the trials that `facecloak sweep` runs.

    Raises:
        FacecloakError: the file does not say how many.
    """
    if sweep.run_cap is None:
        raise FacecloakError(f"{sweep.path}: run_cap is missing; it is the number of trials.")
    method = next(part.partition("=")[2] for part in sweep.arguments if part.startswith("--methods="))
    yield Trial(method, OWN, ())
    study = open_study(sweep, "sqlite://")
    for number in range(sweep.run_cap):
        values = sweep.values(ask(study, sweep, "sqlite://", "").params)
        yield Trial(method, number, tuple(f"{name}={value}" for name, value in values.items()))


def search(path: Path, out: Path) -> pd.DataFrame:
    """All measurements of a file's search, in the order in which they were made.

    Args:
        out: folder of the trials; finished protections in it are not made again.
    """
    sweep = load_sweep(path)
    trials = [*trials_of(sweep)]
    lines = []
    for trial in trials:
        lines.append(trial.measure(sweep, out, FEW))
        print(f"{lines[-1]}", flush=True)
    first = [*_best_first(pd.DataFrame(lines)[1:]).index]
    distinct = {trials[place].settings: place for place in reversed(first)}  # the best place of those that are equal
    for place in (0, *sorted(distinct.values(), key=first.index)[:KEPT]):
        lines.append(trials[place].measure(sweep, out, MORE))
        print(f"{lines[-1]}", flush=True)
    return pd.DataFrame(lines)


def _best_first(table: pd.DataFrame) -> pd.DataFrame:
    """Equal scores are told apart by PSNR; those without one come last."""
    return table.sort_values(["score", "PSNR dB"], ascending=False, na_position="last")


def _short(settings: str) -> str:
    """Settings with three digits of each fraction."""
    return re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.3g}", settings)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A line for each method: the suite's own settings and the best others, both on more photos."""
    lines, best_of = [], f"best of {table['trial'].max() + 1}"
    more = table[table["photos of a target"] == MORE]
    for method, part in more.groupby("method", sort=False):
        own = part[part["trial"] == OWN].iloc[0]
        best = _best_first(part[part["trial"] != OWN]).iloc[0]
        lines.append(
            [method, *(own[name] for name in MEASURED), _short(best["settings"]), *(best[name] for name in MEASURED)]
        )
    return pd.DataFrame(lines, columns=["method", *MEASURED, best_of, *(f"its {name}" for name in MEASURED)])


def main(arguments: list[str] | None = None) -> int:
    """Parse, search, write, print."""
    files = sorted(FILES.glob("*.yaml"))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.searches", description=__doc__.splitlines()[0],
        epilog="FACECLOAK_POCKET names the folder that `python -m facecloak.pocket.train --stages tuning` makes.",
    )  # fmt: skip
    parser.add_argument("--files", default=",".join(path.stem for path in files), help="comma-separated (default: all)")
    parser.add_argument("--out", type=Path, default=Path("runs/searches"), help="folder (default: runs/searches)")
    options = parser.parse_args(arguments)

    @quietly()
    def work() -> int:
        if "FACECLOAK_POCKET" not in os.environ:
            raise FacecloakError(
                "These are searches on people who are not in the suite: run `python -m facecloak.pocket.train --stages "
                "tuning`, and set FACECLOAK_POCKET=runs/pocket-training/tuning."
            )
        folder, names = options.out / "methods", options.files.split(",")
        for name in names:
            write_bytes(folder / f"{name}.csv", to_csv(search(FILES / f"{name}.yaml", options.out / "trials")))
        table = pd.concat([pd.read_csv(folder / f"{name}.csv") for name in sorted({*names})])
        write_bytes(options.out / "searches.csv", to_csv(table))
        show(options.out, "searches_best", summary(table))
        return 0

    return guarded(work, "Finished pictures are kept: run the same command again to continue.")


if __name__ == "__main__":
    sys.exit(main())
