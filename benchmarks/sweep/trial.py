"""`python -m benchmarks.sweep.trial SUITE …`: one trial of a sweep, a small benchmark and its score.

The score is the mean black-box PSR at FAR 0.01 in per cent, less `PENALTY` points for each dB by which the mean PSNR is
below a floor: success with pictures that nobody would publish does not count.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from filelock import FileLock
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from benchmarks.console import quietly
from benchmarks.harness.plan import Plan, Request, make_plan
from benchmarks.harness.processes import ending_together
from benchmarks.harness.runner import Runner
from benchmarks.results.store import read_judgement
from benchmarks.results.table import headline_far, long_table
from benchmarks.suites.suite import load_suite
from benchmarks.sweep.agents_trial import is_agents_trial, leave_the_job, run_agents_trial, without_wandbs
from benchmarks.sweep.command import plain_words, read_arguments
from benchmarks.sweep.ends import EARLY, FINISHED, INTERRUPTED, MEMORY, STATUS, end_of
from facecloak import __version__
from facecloak.cli.guard import guarded, is_out_of_memory
from facecloak.errors import FacecloakError
from facecloak.io import sha256_json

PENALTY = 10.0  # points per dB
LOCK = "trial.lock"
KEPT = "what is finished is kept, and the same trial goes on from there"
Report = Callable[[int, int, dict[str, float]], None]


def score(table: pd.DataFrame, floor: float) -> dict[str, float]:
    """``objective``, ``psr`` (per cent), ``psnr`` (dB), ``seconds_per_image``: means over black-box rows.

    There is no ``psnr`` if all images are identical to their sources.

    Raises:
        FacecloakError: no PSR could be measured.
    """
    rows = table[(table["far"] == headline_far(table["far"])) & ~table["white_box"].astype(bool)]
    psr, psnr = 100 * rows["psr"].mean(), rows["psnr"].mean()
    if pd.isna(psr):
        raise FacecloakError("No PSR could be measured, so the trial has no score.")
    values = {"psr": psr, "psnr": psnr, "seconds_per_image": rows["amortised_seconds_per_image"].mean()}
    found = {name: float(value) for name, value in values.items() if not pd.isna(value)}
    return {"objective": float(psr - PENALTY * max(0.0, floor - found.get("psnr", floor))), **found}


def parse(arguments: list[str]) -> tuple[Plan, float]:
    """The plan and the floor of a trial, from its command line.

    The run is in a folder below ``--out`` whose name depends on the suite, lists, limit and settings. A trial that is
    started again continues where it stopped, with any floor and devices, and however ``--out`` is typed.

    Raises:
        FacecloakError: an argument is unknown, or the errors of `make_plan`.
    """
    options, settings = read_arguments(arguments)
    suite = load_suite(options.suite)
    lists = (options.methods, options.targets, options.black_box)
    decisive = {"suite": asdict(suite), "lists": [each and sorted(each) for each in lists], "limit": options.limit,
                "settings": settings}  # fmt: skip
    if options.objective:
        decisive["objective"] = options.objective
    plan = make_plan(suite, Request(
        out=options.out / sha256_json(decisive)[:12], methods=options.methods,
        overrides=[f"{name}={value}" for name, value in settings.items()], objective=options.objective,
        targets=options.targets,
        black_boxes=options.black_box, limit=options.limit, devices=options.devices, accelerator=options.accelerator,
    ))  # fmt: skip
    return plan, options.floor


def run_trial(arguments: list[str], report: Report) -> dict[str, float]:
    """Run a trial; returns its `score`, or an empty dict in processes other than the first.

    Args:
        arguments: as typed.
        report: called after each judgement with the number of judgements made, the number of all judgements, and the
            score so far. Judgements of an earlier start are reported first; one that is made again is reported again.
    """
    plan, floor = parse(arguments)
    runner = Runner(plan)
    folders, told = runner.folders(), set()

    def judged(folder: Path) -> None:
        told.add(folder)
        # not all that are there: another process may have finished more, which are reported in their turn
        done = [each for each in folders if each in told and read_judgement(each)]
        report(len(done), len(folders), score(long_table(done), floor))

    with ending_together():
        if rank_zero_only.rank != 0:
            runner.run()
            return {}
        # trials with the same values share a folder, also if one is left over from an earlier start
        with FileLock(plan.out / LOCK):
            for folder in [each for each in folders if read_judgement(each)]:
                judged(folder)
            table = runner.run([judged])
            for folder in [each for each in folders if each not in told]:
                judged(folder)  # made by another command since the list above
            return score(table, floor)


def print_report(step: int, steps: int, values: dict[str, float]) -> None:
    """Print a line of JSON, ``{"cell": …, "cells": …, "objective": …}``, for the process that started the trial."""
    print(json.dumps({"cell": step, "cells": steps, **values}), flush=True)


def _agents_trial(arguments: list[str]) -> tuple[str, dict[str, float]]:
    """A trial that W&B's agent started: its reports go to W&B too, which may end it early."""
    plan, floor = parse(arguments)
    config = {"suite": plan.suite.name, "floor": floor, "arguments": arguments, "versions": {"facecloak": __version__}}

    def run(send: Report) -> dict[str, float]:
        def report(step: int, steps: int, values: dict[str, float]) -> None:
            print_report(step, steps, values)
            send(step, steps, values)

        return run_trial(arguments, report)

    return run_agents_trial(config, run, lambda line: print(line, file=sys.stderr, flush=True))


def main(arguments: list[str] | None = None) -> int:
    """Run the trial and print its score; the exit status says how it ended, see `STATUS`."""
    leave_the_job()
    of_agent, memory = is_agents_trial(), False

    def work() -> int:
        nonlocal memory
        word, values = FINISHED, {}
        typed = without_wandbs(plain_words(sys.argv[1:] if arguments is None else arguments))
        try:
            if of_agent:
                word, values = _agents_trial(typed)
            else:
                values = run_trial(typed, print_report)
        except (KeyboardInterrupt, SystemExit) as error:
            if getattr(error, "code", None) == 0:  # --help
                return 0
            word = end_of(error)
        except (RuntimeError, MemoryError) as error:
            memory = is_out_of_memory(error)
            raise
        if word == EARLY:
            print(f"{word}, with the score so far", flush=True)
        elif word != FINISHED:  # without an agent, whoever sent SIGTERM knows why
            print(f"{word if of_agent or word == INTERRUPTED else 'stopped'}; {KEPT}", flush=True)
        elif values:
            print(", ".join(f"{name} {value:.4g}" for name, value in values.items()))
        return STATUS[word]

    with quietly():
        status = guarded(work)
    return STATUS[MEMORY] if memory else status


if __name__ == "__main__":
    sys.exit(main())
