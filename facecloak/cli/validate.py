"""`facecloak validate`: check a suite, a sweep file or a run's folder without running anything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.check.findings import findings
from benchmarks.harness.methods import resolve_methods
from benchmarks.suites.rules import CALIBRATE
from benchmarks.suites.suite import load_suite
from benchmarks.sweep.files import load_sweep
from benchmarks.sweep.trial import parse
from facecloak.config import read_yaml
from facecloak.errors import FacecloakError
from facecloak.io import sha256
from facecloak.recognizers import weights_file


def run(options: argparse.Namespace) -> int:
    """Print the problems of each path, or that there are none; returns 1 if something is wrong."""
    status = 0
    for path in options.paths:
        problems = [*_problems(path)]
        for problem in problems:
            print(problem, file=sys.stderr)
        print(
            f"{path}: {len(problems)} problem{'s' * (len(problems) > 1)}" if problems else f"{path}: nothing is wrong"
        )
        status = max(status, int(bool(problems)))
    return status


def _problems(path: Path) -> Iterator[str]:
    if path.is_dir():
        yield from _said(lambda: [*findings([path])], str)
        return
    if not path.is_file():
        yield f"{path}: no such file or folder."
        return
    yield from (_sweep_problems if _is_sweep(path) else _suite_problems)(path)


def _said(attempt: Callable[[], Any], show: Callable[[Any], str] | None = None) -> Iterator[str]:
    """The error of an attempt, or each of the problems that it returns."""
    try:
        found = attempt()
    except FacecloakError as error:
        yield str(error)
        return
    yield from map(show, found) if show else ()


def _is_sweep(path: Path) -> bool:
    try:
        content = read_yaml(path)
    except FacecloakError:
        return False  # `load_suite` says what is wrong
    return "parameters" in content or "program" in content


def _suite_problems(path: Path) -> Iterator[str]:
    """What a benchmark of this suite would refuse; photos, targets, weights and thresholds are checked separately."""
    try:
        suite = load_suite(str(path))
    except FacecloakError as error:
        yield str(error)
        return
    yield from _said(suite.load_sources)
    if suite.sources.albums:
        yield from _said(suite.load_albums)
    for target in suite.target_names():
        yield from _said(lambda target=target: suite.load_target(target, "impersonation"))
    if suite.targets.synthetic is not None or suite.objective == "obfuscation":
        yield from _said(lambda: suite.load_target(None, "obfuscation"))
    for name in suite.recognizers if suite.thresholds != CALIBRATE else ():  # else they are measured when needed
        yield from _said(lambda name=name: suite.load_thresholds(name, sha256(weights_file(name))))
    yield from _said(lambda: resolve_methods(suite, ["all"]))


def _sweep_problems(path: Path) -> Iterator[str]:
    """Why the first trial would be refused."""
    try:
        sweep = load_sweep(path)
    except FacecloakError as error:
        yield str(error)
        return
    from benchmarks.sweep.study import open_study

    typed = sweep.plain_command(sweep.values(open_study(sweep, "sqlite://").ask(sweep.space).params))
    with TemporaryDirectory() as out:
        yield from _said(lambda: parse([*typed, f"--out={out}"]))
