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

from benchmarks.console import RunProgress, markdown_table, quietly
from benchmarks.harness.judge import embed
from benchmarks.harness.plan import Plan, Request, make_plan
from benchmarks.harness.protection import Protection
from benchmarks.harness.runner import Runner
from benchmarks.results.table import headline_far
from benchmarks.suites.spec import SourcesSpec
from benchmarks.suites.suite import Suite, load_suite
from facecloak.cli.guard import guarded
from facecloak.config import far_key
from facecloak.data import FindFace, Photo
from facecloak.errors import FacecloakError
from facecloak.io import to_csv, write_bytes
from facecloak.metrics.statistics import bootstrap_mean
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
    far, runs = headline_far(suite.fars), []
    for own, folder in ((suite, "photos"), (second_suite(suite), "enrolled")):
        plan = make_plan(own, replace(request, out=request.out / folder))
        Runner(plan, progress).run()
        runs.append(plan)
    find_face, lines = suite.find_face(), []
    clean = [{each.name: suite.read(each.path, find_face) for each in plan.sources} for plan in runs]
    for photo_task, enrolled_task in zip(*(plan.tasks for plan in runs), strict=True):
        tasks = zip(runs, (photo_task, enrolled_task), strict=True)
        cloaked = [_pictures(plan, task.protection, find_face) for plan, task in tasks]
        name_of = f"{photo_task.protection.method}:{photo_task.protection.preset}".removesuffix(":default")
        for judge in photo_task.judges:
            threshold = runs[0].thresholds[judge]["fars"][far_key(far)]["threshold"]
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


def _pictures(plan: Plan, protection: Protection, find_face: FindFace) -> dict[str, Photo]:
    folder = protection.folder(plan.out) / "images"
    return {path.stem: plan.suite.read(path, find_face) for path in sorted(folder.glob("*.png"))}


def _shows_face(photo: Photo | None) -> bool:
    return photo is not None and photo.error is None


def table_of(lines: pd.DataFrame) -> pd.DataFrame:
    """Method × case: how many comparisons are not matched, %, with 95 % bootstrap intervals over people."""
    rows = []
    for method, own in lines.groupby("method", sort=True):
        found = {case: bootstrap_mean(part["unmatched"], part["id"]) for case, part in own.groupby("case")}
        texts = {case: f"{found[case].mean:.1f} ({found[case].low:.0f} to {found[case].high:.0f})" for case in CASES}
        rows.append({"not matched, %: cloaked is": method, **texts})
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
        table = table_of(measure(load_suite(options.suite), request, RunProgress()))
        print(markdown_table([*table], table.to_numpy().tolist()))
        write_bytes(options.out / "enrolment.csv", to_csv(table))
        return 0

    with quietly():
        return guarded(run, "Finished images are kept: run the same command again to continue.")


if __name__ == "__main__":
    sys.exit(main())
