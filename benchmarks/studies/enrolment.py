"""`python -m benchmarks.studies.enrolment`: whether people who are enrolled with cloaked photos are still not matched.

Dodging compares a cloaked photo with an unprotected one. But whoever collects photos may have only cloaked ones of a
person, to compare with an unprotected or with another cloaked photo; cloaks that move all photos of everybody to one
place would then make them match. This cloaks both photos of each person, by attacking the same recognizers.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

from benchmarks.console import RunProgress, quietly, show
from benchmarks.harness.finished import complete, headline_key, open_run
from benchmarks.harness.judge import embed
from benchmarks.harness.plan import Request, make_plan
from benchmarks.harness.runner import Runner
from benchmarks.suites.spec import SourcesSpec
from benchmarks.suites.suite import Suite, load_suite
from facecloak.cli.guard import guarded
from facecloak.data import Photo
from facecloak.errors import FacecloakError
from facecloak.metrics.statistics import bootstrap_mean, estimate_text
from facecloak.recognizers import load_recognizer

# what is enrolled, and what is looked for
CASES = {
    "neither": (False, False), "only the photo": (False, True), "only the enrolled photo": (True, False),
    "both": (True, True),
}  # fmt: skip


def second_suite(suite: Suite) -> Suite:
    """The suite of the second photos of the same people.

    Raises:
        FacecloakError: the suite has no folder of second photos.
    """
    if not suite.sources.second:
        raise FacecloakError(f"Suite {suite.name} has no folder of second photos (`second`), which would be enrolled.")
    return replace(suite, name=f"{suite.name}-second", sources=SourcesSpec(folder=suite.sources.second))


def measure(suite: Suite, request: Request, progress: RunProgress | None = None) -> pd.DataFrame:
    """Cloak both photos of each person, and compare them.

    Args:
        request: methods and judges; its objective is obfuscation, and all photos are used.

    Returns:
        a line for each method, judge, person and case of `CASES`: ``method``, ``black_box``, ``id``, ``case`` and
        ``unmatched``, 100 or 0; people with an unusable or failed photo are left out.
    """
    request = replace(request, objective="obfuscation", targets=None, limit=len(suite.load_sources()))
    far, runs, lines = headline_key(suite), [], []
    for own, folder in ((suite, "photos"), (second_suite(suite), "enrolled")):
        plan = make_plan(own, replace(request, out=request.out / folder))
        Runner(plan, progress).run()
        runs.append((plan, *open_run(plan.out, own.name)))
    clean = [judging.photos for _, judging, _ in runs]
    for tasks in zip(*(plan.tasks for plan, _, _ in runs), strict=True):
        cloaked = []
        for task, (plan, judging, protections) in zip(tasks, runs, strict=True):
            folder = task.protection.folder(plan.out)
            cloaked.append(complete(judging, folder, protections[folder]).pictures.protected)
        name_of = f"{tasks[0].protection.method}:{tasks[0].protection.preset}".removesuffix(":default")
        for judge in tasks[0].judges:
            threshold = runs[0][0].thresholds[judge]["fars"][far]["threshold"]
            recognizer = load_recognizer(judge)
            sides = (*cloaked, *clean)
            people = [name for name in cloaked[0] if all(_shows_face(side.get(name)) for side in sides)]
            seen = {
                side: [embed(recognizer, [kind[side][name] for name in people]) for kind in (clean, cloaked)]
                for side in (0, 1)
            }
            for case, (enrolled, photo) in CASES.items():
                cosines = (seen[0][photo] * seen[1][enrolled]).sum(1).tolist()
                lines += [
                    {"method": name_of, "black_box": judge, "id": name, "case": case,
                     "unmatched": 100.0 * (cosine < threshold)}
                    for name, cosine in zip(people, cosines, strict=True)
                ]  # fmt: skip
    return pd.DataFrame(lines)


def _shows_face(photo: Photo | None) -> bool:
    return photo is not None and photo.error is None


def table_of(lines: pd.DataFrame) -> pd.DataFrame:
    """Method × case: how many comparisons are not matched, %, with 95 % bootstrap intervals over people."""
    rows = []
    for method, own in lines.groupby("method", sort=True):
        found = {case: bootstrap_mean(part["unmatched"], part["id"]) for case, part in own.groupby("case")}
        rows.append({"not matched, %: cloaked is": method, **{case: estimate_text(found[case]) for case in CASES}})
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, print and write ``enrolment.csv``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.enrolment", description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="pocket", help="name or path of a YAML file (default: pocket)")
    parser.add_argument("--methods", default="pgd,tip_im,facecloak:fast", help="comma-separated")
    parser.add_argument("--out", type=Path, default=Path("runs/enrolment"), help="run again to resume (runs/enrolment)")
    options = parser.parse_args(arguments)

    def run() -> int:
        request = Request(out=options.out, methods=options.methods.split(","))
        show(options.out, "enrolment", table_of(measure(load_suite(options.suite), request, RunProgress())))
        return 0

    with quietly():
        return guarded(run, "Finished images are kept: run the same command again to continue.")


if __name__ == "__main__":
    sys.exit(main())
