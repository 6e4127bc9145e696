"""`python -m benchmarks.studies.ablation`: the effect of each of the method's two ideas, by leaving it out.

Learned unconditional embeddings should raise the black-box success, and the structure term the quality (Salar et al.,
CVPR 2025). Everything else is equal; differences are taken image by image.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pandas as pd

from benchmarks.console import RunProgress, markdown_table, quietly
from benchmarks.harness.plan import Plan, Request, make_plan
from benchmarks.harness.runner import Runner
from benchmarks.results.pictures import write_grid
from benchmarks.results.records import read_one
from benchmarks.results.store import NO_COUNTERMEASURE, judgement_folder, protections_folder
from benchmarks.results.table import headline_far
from benchmarks.suites.suite import load_suite
from facecloak.cli.guard import guarded
from facecloak.config import settings_hash
from facecloak.errors import FacecloakError
from facecloak.io import to_csv, write_bytes
from facecloak.metrics.statistics import Estimate, bootstrap_mean, rate_over_clusters

FULL, PLAIN, LOOSE = "full", "plain embedding", "no structure term"
VARIANTS = {
    FULL: [],
    PLAIN: ["facecloak.embedding_iterations=0"],
    LOOSE: ["facecloak.lambda_attn=0"],
    "neither": ["facecloak.embedding_iterations=0", "facecloak.lambda_attn=0"],
}
# column of `measure` → its name in the tables, and its digits
MEASURES = {"psr": ("black-box PSR, %", 1), "rise": ("black-box cosine rise", 3), "psnr": ("PSNR, dB", 2),
            "ssim": ("SSIM", 4)}  # fmt: skip
CLAIMS = [(PLAIN, "psr"), (PLAIN, "rise"), (LOOSE, "ssim"), (LOOSE, "psnr")]
CELL = ["source", "target", "black_box"]
FEW = 10  # with fewer photos a bootstrap interval cannot be trusted


def make_plans(suite_name: str, request: Request, names: Collection[str] = tuple(VARIANTS)) -> dict[str, Plan]:
    """A plan for each variant of facecloak, over what the request leaves open: all targets, judges and photos.

    Args:
        names: of the variants.

    Raises:
        FacecloakError: two variants have the same settings, or the errors of `make_plan`.
    """
    suite, twins, plans = load_suite(suite_name), {}, {}
    request = replace(
        request, methods=["facecloak"], objective="impersonation", targets=request.targets or suite.target_names(),
        limit=request.limit or len(suite.load_sources()),
    )  # fmt: skip
    for name in (name for name in VARIANTS if name in names):
        plans[name] = make_plan(suite, replace(request, overrides=[*request.overrides, *VARIANTS[name]]))
        twin = twins.setdefault(settings_hash(plans[name].protections[0].settings), name)
        if twin != name:
            raise FacecloakError(
                f"Suite {suite.name}: {twin} and {name} have the same settings, so there is nothing to compare. "
                "In its settings of facecloak, embedding_iterations and lambda_attn must be above 0."
            )
    return plans


def measure(out: Path, table: pd.DataFrame, countermeasure: str = NO_COUNTERMEASURE) -> pd.DataFrame:
    """The measures of each image of a run, from its judgements' records.

    Args:
        table: the run's long table.
        countermeasure: what was done to the pictures before they were judged.

    Returns:
        a line for each usable source and judgement: source, target, black_box; ``psr`` (100 or 0, in per cent),
        ``rise`` of the black box's cosine to the target's test photo, ``psnr``, ``ssim``; NaN if there is no value.
    """
    parts = []
    table = table[table["countermeasure"] == countermeasure]
    for _, row in table[table["far"] == headline_far(table["far"])].iterrows():
        protection = protections_folder(out) / row["protection"]
        records = read_one(judgement_folder(protection, row["black_box"], row["countermeasure"]))
        part = pd.DataFrame({
            "source": records.ids, "target": row["target"], "black_box": row["black_box"],
            "psr": 100 * records.outcomes("impersonation", row["threshold"]), "rise": records.rise(),
            "psnr": records.psnr, "ssim": records.ssim,
        })  # fmt: skip
        parts.append(part[records.usable])
    return pd.concat(parts, ignore_index=True)


def estimates(measured: dict[str, pd.DataFrame]) -> list[tuple[str, str, Estimate]]:
    """(variant or difference, measure, estimate), from `measure` of each variant.

    The interval of a PSR is Wilson's, computed as if a photo had one result, because its several results are not
    independent. All other intervals come from resampling photos, with all results of each photo.
    """
    found = []
    for name, lines in measured.items():
        for column in MEASURES:
            estimate = rate_over_clusters if column == "psr" else bootstrap_mean
            found.append((name, column, estimate(lines[column], lines["source"])))
    full = measured[FULL].set_index(CELL)
    for name, column in _claims(measured):
        change = full[column] - measured[name].set_index(CELL)[column]
        found.append((f"{FULL} − {name}", column, bootstrap_mean(change, change.index.get_level_values("source"))))
    return found


def _claims(names: Collection[str]) -> list[tuple[str, str]]:
    return [claim for claim in CLAIMS if claim[0] in names]


def differences_after(measured: dict[str, dict[str, pd.DataFrame]]) -> pd.DataFrame:
    """What the learned embeddings change, after each countermeasure.

    Args:
        measured: countermeasure → variant → what `measure` gives.

    Returns:
        a line per countermeasure and measure: ``countermeasure``, ``measure``, the means ``full`` and ``plain``, and
        the `Estimate` of their difference, image by image.
    """
    lines = []
    for name, variants in measured.items():
        full, plain = (variants[variant].set_index(CELL) for variant in (FULL, PLAIN))
        for column in ("psr", "rise"):
            change = full[column] - plain[column]
            found = bootstrap_mean(change, change.index.get_level_values("source"))
            lines.append({"countermeasure": name, "measure": MEASURES[column][0], "full": full[column].mean(),
                          "plain": plain[column].mean(), **found._asdict()})  # fmt: skip
    return pd.DataFrame(lines)


def report_after(lines: pd.DataFrame) -> str:
    """`differences_after` as Markdown."""
    heads = ["after", "of", FULL, PLAIN, "difference", "95 %", "in words"]
    texts = []
    for line in lines.to_dict("records"):
        column = next(name for name, (text, _) in MEASURES.items() if text == line["measure"])
        estimate = Estimate(line["mean"], line["low"], line["high"], line["n"])
        texts.append([line["countermeasure"], line["measure"], _number(line["full"], column),
                      _number(line["plain"], column), _number(estimate.mean, column, "+"),
                      _interval(estimate, column, "+"), verdict(estimate)])  # fmt: skip
    return markdown_table(heads, texts)


def report(found: list[tuple[str, str, Estimate]], title: str) -> str:
    """Both tables as Markdown, under a title."""
    by_name = {(name, column): estimate for name, column, estimate in found}
    heads = ["variant", MEASURES["psr"][0], "95 %", *(MEASURES[column][0] for column in ("rise", "psnr", "ssim"))]
    variants, names = [], [name for name in VARIANTS if (name, "psr") in by_name]
    for name in names:
        psr, *others = (_number(by_name[name, column].mean, column) for column in MEASURES)
        variants.append([name, psr, _interval(by_name[name, "psr"], "psr"), *others])
    differences = [
        [f"{FULL} − {name}", MEASURES[column][0], _number(estimate.mean, column, "+"),
         _interval(estimate, column, "+"), verdict(estimate)]
        for name, column in _claims(names)
        for estimate in [by_name[f"{FULL} − {name}", column]]
    ]  # fmt: skip
    photos = by_name[FULL, "psr"].n
    notes = "Intervals are over photos (for PSR, Wilson's, one result per photo); targets and recognizers are fixed."
    if photos < FEW:
        notes += f" {photos} photos are too few to trust the intervals of the differences."
    tables = [
        markdown_table(heads, variants),
        markdown_table(["difference", "of", "mean", "95 %", "in words"], differences),
    ]
    return "\n".join([f"{title}, {photos} photos\n", *tables, f"{notes}\n"])


def verdict(estimate: Estimate) -> str:
    """The meaning of a difference's interval, in words."""
    if pd.isna(estimate.low):
        return "too few photos for an interval"
    if not estimate.excludes_zero:
        return "the interval includes 0: no difference shown"
    return f"the interval excludes 0: {'higher' if estimate.mean > 0 else 'lower'}"


def _number(value: float, column: str, sign: str = "") -> str:
    return "–" if pd.isna(value) else f"{value:{sign}.{MEASURES[column][1]}f}"


def _interval(estimate: Estimate, column: str, sign: str = "") -> str:
    return f"{_number(estimate.low, column, sign)} to {_number(estimate.high, column, sign)}"


def run_ablation(suite_name: str, request: Request, names: Collection[str]) -> int:
    """Run what is missing for these variants; print and write ``ablation.md`` and ``ablation.csv`` into its folder.

    With countermeasures, also ``ablation_after.csv``: what the learned embeddings change after each of them.

    Returns:
        0, or 1 if an image failed or a source was unusable.
    """
    plans, out = make_plans(suite_name, request, names), request.out
    measured, problems, countermeasures = {}, 0, plans[FULL].countermeasures
    after: dict[str, dict[str, pd.DataFrame]] = {each: {} for each in countermeasures}
    progress, folders = RunProgress(), []
    for name, plan in plans.items():
        progress.line(f"{name}:")
        runner = Runner(plan, progress)
        table = runner.run()
        folders += runner.folders()
        for countermeasure in countermeasures:
            after[countermeasure][name] = measure(out, table, countermeasure)
        measured[name] = after[NO_COUNTERMEASURE][name]
        problems += int(table[["n_failed", "n_unusable"]].sum().sum())
    write_grid(out, folders, [*plans])
    found = estimates(measured)
    tasks = plans[FULL].tasks
    targets, boxes = {t.protection.target.name for t in tasks}, {judge for task in tasks for judge in task.judges}
    counts = f"{len(targets)} targets, {len(boxes)} black boxes"
    far = headline_far(table["far"])
    changed = f" with {', '.join(request.overrides)}" if request.overrides else ""
    text = report(found, f"facecloak on suite {plan.suite.name} at FAR {far:g}{changed}: {counts}")
    lines = [{"what": name, "measure": column, **estimate._asdict()} for name, column, estimate in found]
    (out / "ablation_after.csv").unlink(missing_ok=True)
    if len(countermeasures) > 1:
        differences = differences_after(after)
        text += f"\n{report_after(differences)}"
        write_bytes(out / "ablation_after.csv", to_csv(differences))
    write_bytes(out / "ablation.md", text.encode())
    write_bytes(out / "ablation.csv", to_csv(pd.DataFrame(lines)))
    print(f"\n{text}\nwrote ablation.md, ablation.csv and grid.png below {out}")
    if problems:
        print("Images failed or sources were unusable; `error` in records.jsonl says why.", file=sys.stderr)
    return 1 if problems else 0


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.ablation", description=__doc__.splitlines()[0],
        epilog="Set the settings of all variants with --facecloak.field=value.",
    )  # fmt: skip
    parser.add_argument("--suite", default="pocket", help="name or path of a YAML file (default: pocket)")
    parser.add_argument("--variants", default=",".join(VARIANTS), metavar="NAMES",
                        help=f"{FULL}, and which others (default: all of {', '.join(VARIANTS)})")  # fmt: skip
    parser.add_argument("--targets", default="", metavar="NAMES", help="default: all of the suite")
    parser.add_argument("--black-box", default="", metavar="NAMES", help="judges (default: all of the suite)")
    parser.add_argument("--countermeasures", default="", metavar="NAMES", help="what is done to pictures before they "
                        "are judged once more, such as purify (default: nothing)")  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N photos of each group (default: all)")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="run again to resume (runs/ablation)")
    options, overrides = parser.parse_known_args(arguments)
    if options.limit is not None and options.limit < 1:
        parser.error(f"argument --limit: must be at least 1, got {options.limit}")
    names = _listed(options.variants)
    if FULL not in names or not {*names} <= VARIANTS.keys():
        parser.error(f"argument --variants: {FULL} and some of {', '.join(VARIANTS)}, got {options.variants}")
    request = Request(
        out=options.out, overrides=[text.removeprefix("--") for text in overrides], targets=_listed(options.targets),
        black_boxes=_listed(options.black_box) or None, countermeasures=_listed(options.countermeasures),
        limit=options.limit,
    )  # fmt: skip
    run = quietly()(lambda: run_ablation(options.suite, request, names))
    return guarded(run, "Finished images are kept: run the same command again to continue.")


def _listed(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    sys.exit(main())
