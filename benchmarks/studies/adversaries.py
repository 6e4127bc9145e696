"""`python -m benchmarks.studies.adversaries RUN`: do two recognizers together see through cloaks, in runs of `pocket`?

A cloak is made against some recognizers and judged by another. Whoever wants to match cloaked photos may use two at
once: a photo is compared by the mean of both cosines, which is the cosine of their unit embeddings put side by side.
Neither of the two was attacked: one is the judge that the run left out, the other the one that the suite holds out.

With ``--adapt``: whether a recognizer that has learned from photos cloaked by one method sees more of that method's
cloaks than the shipped one, which has learned from six methods (`benchmarks.studies.adapted`). It fine-tunes the
held-out recognizer once for each of `ADAPTED_TO`; that takes about six minutes of a core for each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.console import quietly, show
from benchmarks.harness.finished import Adversary, complete, headline_key, load_adversary, names_of, open_run
from benchmarks.harness.judge import Judge
from benchmarks.results.records import Records, to_columns
from benchmarks.studies.adapted import CLOAKED, fine_tune, learning_photos
from benchmarks.suites.suite import Suite, kept_suite
from facecloak.cli.guard import guarded
from facecloak.config import ADAPTED
from facecloak.errors import FacecloakError
from facecloak.io import file_name
from facecloak.metrics.statistics import Estimate, bootstrap_mean, estimate_text
from facecloak.pocket.train import reporter
from facecloak.pocket.training.assets import Assets
from facecloak.pocket.training.corpus import TEST, Corpus, render_corpus
from facecloak.pocket.training.report import calibrate_on, trained_recognizer
from facecloak.recognizers import Recognizer

SUITE = "pocket"
ADAPTED_TO = ("pgd", "ti_dim", "facecloak:fast")
JUDGE, HELD_OUT, TOGETHER = "judge", "held out", "together"
UNADAPTED, TO_ALL, TO_IT = "not adapted", "adapted to six methods", "adapted to this one"
RATES = {"psr": "PSR", "dodging": "dodging"}
EVERY = "*all that attack recognizers*"


class _SideBySide(nn.Module):
    def __init__(self, recognizers: Sequence[Recognizer]) -> None:
        super().__init__()
        self.recognizers = nn.ModuleList(recognizers)

    def forward(self, faces: Tensor) -> Tensor:
        return torch.cat([recognizer(faces) for recognizer in self.recognizers], dim=1)


def together(recognizers: Sequence[Recognizer]) -> Recognizer:
    """K recognizers as one, whose cosine is the mean of their cosines.

    Its embedding is theirs side by side, divided by √K: of length 1 again.

    Raises:
        FacecloakError: they see faces at different sizes, so that one crop cannot be for all.
    """
    sizes = {recognizer.input_size for recognizer in recognizers}
    name = " + ".join(recognizer.name for recognizer in recognizers)
    if len(sizes) > 1:
        raise FacecloakError(f"{name} take faces of different sizes ({', '.join(map(str, sorted(sizes)))} px).")
    return Recognizer(_SideBySide(recognizers), name, sizes.pop(), None, differentiable=False)


def pairs_of(suite: Suite, attacked: Iterable[str]) -> list[tuple[str, str]]:
    """(judge, recognizer that the suite holds out) for each judge that is not attacked; none if the latter is."""
    unknown = [name for name in suite.recognizers if name not in {*attacked}]
    held_out = [name for name in unknown if name in suite.held_out]
    return [(name, other) for name in unknown if name not in suite.held_out for other in held_out]


# content of a protection.json → for each group of adversaries that see its pictures: what each is called → its name
Views = Callable[[Mapping[str, Any]], Iterable[Mapping[str, str]]]


def measure(run: Path, adversaries: Mapping[str, Adversary], views: Views) -> pd.DataFrame:
    """Show the finished pictures of a run to adversaries; nothing is written into the run.

    Returns:
        a line for each picture, group and adversary of it: ``method``, ``attacks`` (whether it attacks recognizers),
        ``id``, ``by``, ``psr``, ``psr_clean``, ``dodging`` and ``dodging_clean``, 100 or 0, NaN where there is no rate.
        The lines of the adversaries of a group are in the same order.

    Raises:
        FacecloakError: the run has no such pictures, pictures, photos or weights are missing or have changed, or it
            has two objectives.
    """
    judging, protections = open_run(run, SUITE)
    if len({about["objective"] for about in protections.values()}) > 1:
        raise FacecloakError(f"{run} has two objectives, whose rates are not the same thing: give a run of one.")
    second, methods = judging.suite.read_second(judging.find_face), names_of(protections)
    judge = Judge(lambda name: adversaries[name].recognizer, judging.photos, second, judging.tests)
    parts: list[pd.DataFrame] = []
    for folder, about in protections.items():
        names, pictures, _ = complete(judging, folder, about)
        shared = {"method": methods[folder], "attacks": bool(about["weights"])}
        for by, name in (pair for view in views(about) for pair in view.items()):
            records, _ = judge.judge(name, names, pictures.protected, pictures.errors, about["target"])
            outcomes = _outcomes(to_columns(records), about["objective"], adversaries[name].threshold)
            parts.append(pd.DataFrame({**shared, "id": names, "by": by, **outcomes}))
    if not parts:
        raise FacecloakError(f"{run} has no pictures that these adversaries could judge without having been attacked.")
    return pd.concat(parts, ignore_index=True)


def _outcomes(records: Records, objective: str, threshold: float) -> dict[str, Any]:
    return {
        f"{rate}{'_clean' * clean}": 100 * records.outcomes(kind, threshold, clean)
        for rate, kind in (("psr", objective), ("dodging", "obfuscation"))
        for clean in (False, True)
    }


def change(lines: pd.DataFrame, rate: str, by: str, instead_of: Sequence[str]) -> Estimate:
    """The rate by one adversary minus the mean of those by others, with a 95 % interval over photos, in points."""
    parts = {name: part for name, part in lines.groupby("by")}
    others = sum(parts[name][rate].to_numpy() for name in instead_of) / len(instead_of)
    return bootstrap_mean(parts[by][rate].to_numpy() - others, parts[by]["id"])


def _rate(lines: pd.DataFrame, rate: str, by: str) -> str:
    part = lines[lines["by"] == by]
    return f"{part[rate].mean():.1f} ({part[f'{rate}_clean'].mean():.0f})"


def pair_table(lines: pd.DataFrame) -> pd.DataFrame:
    """Method × rates by each recognizer alone and by both (unprotected), and both − mean of alone (95 % interval).

    The highest PSR by both is first; the last line is the mean over all methods that attack recognizers.
    """
    means = lines[lines["by"] == TOGETHER].groupby("method")["psr"].mean()
    order = [*means.sort_values(ascending=False, kind="stable").index]
    groups = [(method, lines[lines["method"] == method]) for method in order]
    if lines["attacks"].any():
        groups.append((EVERY, lines[lines["attacks"]]))
    rows = []
    for method, own in groups:
        row = {"method": method}
        for rate, text in RATES.items():
            row |= {f"{text} %, {by}": _rate(own, rate, by) for by in (JUDGE, HELD_OUT, TOGETHER)}
            row[f"{text}, together − alone"] = estimate_text(change(own, rate, TOGETHER, (JUDGE, HELD_OUT)))
        rows.append(row)
    return pd.DataFrame(rows)


def two_together(run: Path, test: Corpus) -> pd.DataFrame:
    """`pair_table` of a run; prints each pair's true accepts and threshold, which are measured on ``test``."""
    suite = kept_suite(SUITE, run)
    far, adversaries = headline_key(suite), {name: load_adversary(suite, name) for name in suite.recognizers}
    for pair in pairs_of(suite, ()):
        loaded = [adversaries[name].recognizer for name in pair]
        both = together(loaded)
        point = calibrate_on(both, test)["fars"][far]
        adversaries[both.name] = Adversary(both, point["threshold"])
        alone = (suite.load_thresholds(one.name, one.weights_sha256)["fars"][far]["tar"] for one in loaded)
        print(
            f"{both.name}: threshold {point['threshold']:.3f}, true accepts {100 * point['tar']:.1f} % "
            f"(alone {', '.join(f'{100 * each:.1f}' for each in alone)})", flush=True,
        )  # fmt: skip

    def views(about: Mapping[str, Any]) -> Iterator[dict[str, str]]:
        for judge, other in pairs_of(suite, about["weights"]):
            yield {JUDGE: judge, HELD_OUT: other, TOGETHER: f"{judge} + {other}"}

    return pair_table(measure(run, adversaries, views))


def adapted_to_one(run: Path, test: Corpus, work: Path) -> pd.DataFrame:
    """PSR and dodging of `ADAPTED_TO` by the held-out recognizer, by its shipped adapted form, and by one for each.

    The pictures are those of every set of surrogates, since none of them has the held-out recognizer. Both adapted
    forms have learned for equally many steps, from 160 cloaked photos of one method or from 848 of six.

    Returns:
        a line for each method: rates (unprotected), adapted to it − adapted to six methods (95 % interval over photos),
        and true accepts of unprotected photos by the three, in per cent.
    """
    suite = kept_suite(SUITE, run)
    (held_out,) = suite.held_out
    far, names = headline_key(suite), {UNADAPTED: held_out, TO_ALL: f"{held_out}{ADAPTED}"}
    adversaries = {name: load_adversary(suite, name) for name in names.values()}
    entries = {
        by: suite.load_thresholds(name, adversaries[name].recognizer.weights_sha256) for by, name in names.items()
    }
    learned = {}
    for method in ADAPTED_TO:
        images, labels = learning_photos({method: CLOAKED[method]}, work)
        own = work / "adapted_to_one" / file_name(method)
        assets = Assets(own, own, "cpu")
        print(f"{method}:", flush=True)
        entry = fine_tune(held_out.removeprefix(f"{SUITE}_"), images, labels, entries[UNADAPTED], test, assets)
        threshold = entry["fars"][far]["threshold"]
        adversaries[method] = Adversary(trained_recognizer(f"{held_out}{ADAPTED}", assets), threshold)
        learned[method] = entry

    def views(about: Mapping[str, Any]) -> Iterator[dict[str, str]]:
        method = f"{about['method']}:{about['preset']}".removesuffix(":default")
        if method in ADAPTED_TO and held_out not in about["weights"]:
            yield {**names, TO_IT: method}

    lines, rows = measure(run, adversaries, views), []
    for method, own in lines.groupby("method", sort=True):
        row = {"method": method}
        for rate, text in RATES.items():
            row |= {f"{text} %, {by}": _rate(own, rate, by) for by in (UNADAPTED, TO_ALL, TO_IT)}
            row[f"{text}, one − six"] = estimate_text(change(own, rate, TO_IT, [TO_ALL]))
        accepts = [*entries.values(), learned[method.partition(" ")[0]]]  # without the hash of one of two settings
        row["true accepts"] = ", ".join(f"{100 * entry['fars'][far]['tar']:.1f}" for entry in accepts)
        rows.append(row)
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print and write ``ensemble.csv`` or ``adapted_to_one.csv``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.adversaries", description=__doc__.splitlines()[0]
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the --out of a benchmark of pocket; it is only read")
    parser.add_argument("--adapt", action="store_true", help=f"fine-tune for each of {', '.join(ADAPTED_TO)} instead")
    parser.add_argument("--work", type=Path, default=Path("runs/adapted"), help="portraits, cloaked photos, "
                        "checkpoints; benchmarks.studies.adapted has the same (default: runs/adapted)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs/adversaries"), help="default: runs/adversaries")
    options = parser.parse_args(arguments)

    def work() -> int:
        test = render_corpus(options.work / "corpus_test", TEST, reporter("test portraits", every=100))
        if options.adapt:
            name, table = "adapted_to_one", adapted_to_one(options.run, test, options.work)
        else:
            name, table = "ensemble", two_together(options.run, test)
        show(options.out, name, table)
        print(f"wrote {name}.csv below {options.out}")
        return 0

    with quietly():
        return guarded(work, "Finished photos and checkpoints are kept: run the same command again to continue.")


if __name__ == "__main__":
    sys.exit(main())
