"""`facecloak leaderboard`: the tables of any number of runs, or what is wrong in them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.check.between import Placed
from benchmarks.check.findings import Checked, Finding, findings
from benchmarks.console import RunProgress, progress
from benchmarks.leaderboard.results import load_results
from facecloak.errors import FacecloakError


def run(options: argparse.Namespace) -> int:
    """Write the board, or check the runs; returns 1 if the check finds something."""
    if options.rejudge and not options.check:
        raise FacecloakError("--rejudge needs --check: give both.")
    if options.check:
        return _check(options)
    results = load_results(*options.runs)
    n_protections = len({*results.protections.values()})
    print(f"{len(results.judgements)} judgements of {n_protections} protections", flush=True)
    results.write(options.out)
    if results.n_incomplete:
        print(f"{results.n_incomplete} judgements are not complete and were left out.", file=sys.stderr)
    print(f"wrote index.html, long.csv, wide.csv, leaderboard.md, leaderboard.tex and plots below {options.out}")
    return 0


def _check(options: argparse.Namespace) -> int:
    if not options.rejudge:
        return print_check(options.runs)
    from benchmarks.harness.rejudge import rejudge  # imports torch, which the check of files does not need

    skipped: list[str] = []
    status = print_check(options.runs, rejudge(options.runs, skipped, progress=RunProgress()))
    for text in skipped:
        print(f"not judged again: {text}", file=sys.stderr)
    return status


def print_check(runs: Sequence[Path], more: Iterable[Placed] = ()) -> int:
    """Print every finding, and on standard error the number of findings.

    Args:
        more: further findings; they are looked for after the files have been checked.

    Returns:
        0 without a finding, 1 with one.

    Raises:
        FacecloakError: see `benchmarks.check.findings.findings`.
    """
    checked, count = Checked(), 0
    for finding in findings(runs, checked, lambda folders: progress(folders, desc="checking", unit="protection")):
        tqdm.write(str(finding))
        count += 1
    for each in more:
        tqdm.write(str(Finding(*each)))
        count += 1
    looked_at = f"{checked.judgements} judgements of {checked.protections} protections"
    if count:
        print(f"{count} findings in {looked_at}", file=sys.stderr)
        return 1
    print(f"{looked_at}: rows, records and pictures agree, and can be in one table.")
    return 0
