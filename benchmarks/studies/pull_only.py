"""`python -m benchmarks.studies.pull_only`: what the term away from the source does to attacks that also have a target.

TIP-IM, DiffPrivate and DiffAIM move a photo towards the target and away from its own person at once. Each is run as it
is and without the second term, against all recognizers of `pocket` that may be attacked, and compared as in
`benchmarks.studies.white_box`. Without it a photo has no features of its own: zeros, to which every cosine is 0.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import METHODS
from benchmarks.console import RunProgress, quietly, show
from benchmarks.harness.plan import Request, make_plan
from benchmarks.harness.runner import Runner
from benchmarks.studies.white_box import measure, table_of
from benchmarks.suites.suite import load_suite
from facecloak.cli.guard import guarded
from facecloak.data import Batch
from facecloak.method import Protected


class _PullOnly:
    def protect(self, batch: Batch) -> Protected:
        embed, calls = self.objective.embed, []

        def without_source(*arguments) -> list[Tensor]:
            found = embed(*arguments)
            calls.append(len(found))
            return [torch.zeros_like(each) for each in found] if len(calls) == 1 else found  # the sources come first

        self.objective.embed = without_source
        try:
            return super().protect(batch)
        finally:
            del self.objective.embed


class TIPIMPullOnly(_PullOnly, METHODS["tip_im"]):
    """TIP-IM without the term away from the source."""


class DiffPrivatePullOnly(_PullOnly, METHODS["diffprivate"]):
    """DiffPrivate without the term away from the source."""


class DiffAIMPullOnly(_PullOnly, METHODS["diffaim"]):
    """DiffAIM without the term away from the source."""


MODULE = "benchmarks.studies.pull_only"  # its __name__ is another one where it is the program
# name of the method → the same without the term
VARIANTS = {"tip_im": TIPIMPullOnly, "diffprivate": DiffPrivatePullOnly, "diffaim": DiffAIMPullOnly}


def run_study(suite_name: str, methods: list[str], out: Path) -> int:
    """Protect what is missing, print and write ``pull_only.csv``."""
    suite = load_suite(suite_name)
    specs = [spec for name in methods for spec in (name, f"{MODULE}:{VARIANTS[name].__name__}")]
    plan = make_plan(suite, Request(
        out=out, methods=specs, config={VARIANTS[name].__name__: suite.methods[name] for name in methods},
        objective="impersonation", white_boxes=[name for name in suite.recognizers if name not in suite.held_out],
    ))  # fmt: skip
    Runner(plan, RunProgress()).run()
    table = table_of(measure(out, suite.name))
    names = {
        f"{cls.__name__}:default*": f"{name}, without the term away from the source" for name, cls in VARIANTS.items()
    }
    show(out, "pull_only", table.assign(method=table["method"].replace(names)))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.pull_only", description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="pocket", help="name or path of a YAML file (default: pocket)")
    parser.add_argument("--methods", default=",".join(VARIANTS), help=f"some of {', '.join(VARIANTS)} (default: all)")
    parser.add_argument("--out", type=Path, default=Path("runs/pull_only"), help="run again to resume (runs/pull_only)")
    options = parser.parse_args(arguments)
    methods = options.methods.split(",")
    if not {*methods} <= VARIANTS.keys():
        parser.error(f"argument --methods: some of {', '.join(VARIANTS)}, got {options.methods}")
    return guarded(quietly()(lambda: run_study(options.suite, methods, options.out)), "Run it again to go on.")


if __name__ == "__main__":
    sys.exit(main())
