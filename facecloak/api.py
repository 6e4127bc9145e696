"""The functions of `import facecloak` that make, judge and evaluate whole runs; each returns `Results`.

The commands do the same and print; here nothing is printed, and no signal handler, log level or warning filter is left
changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.console import RunProgress, quietly
from benchmarks.harness.curves import run_curves
from benchmarks.harness.evaluate import evaluate_folders
from benchmarks.harness.plan import Mode, Request, make_plan
from benchmarks.harness.rejudge import judge_run
from benchmarks.harness.runner import Runner
from benchmarks.leaderboard.results import Results, load_results
from benchmarks.suites.suite import Suite, load_suite
from facecloak.objectives import Goal


@quietly()
def benchmark(
    suite: str | Suite,
    *,
    out: str | Path,
    methods: Sequence[str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    objective: Goal | None = None,
    targets: Sequence[str] | None = None,
    black_boxes: Sequence[str] | None = None,
    white_boxes: Sequence[str] | None = None,
    countermeasures: Sequence[str] = (),
    limit: int | None = None,
    batch_size: int | None = None,
    accelerator: str = "auto",
    mode: Mode = "only-missing",
    progress: bool = False,
    on_judged: Iterable[Callable[[Path], None]] = (),
) -> Results:
    """Protect a suite's photos with methods, judge them, and return the results; arguments that are None come from it.

    Finished images in ``out`` are kept, so that the same call continues after an interrupt. Several processes or
    machines are started from the command line (``facecloak benchmark --devices 2``).

    Args:
        suite: name, path of a YAML file, or the result of `load_suite`.
        out: folder of the run.
        methods: names, each optionally with a preset (``facecloak:paper``).
        settings: method → its settings, which win over suite and preset: ``{"facecloak": {"lambda_attn": 2.0}}``.
        objective: impersonation or obfuscation.
        black_boxes: judges; each judges pictures that were made by attacking the other recognizers.
        white_boxes: judges that are attacked too; their rows are marked.
        countermeasures: what is done to the pictures before they are judged once more: ``jpeg30``, ``purify301`` …, or
            the sets ``common``, ``purify`` and ``all``.
        limit: number of photos of each group.
        batch_size: photos that are protected at once.
        accelerator: auto, cpu or gpu.
        mode: only-missing; failed, to try again what failed; or overwrite.
        progress: show a bar and a line per method.
        on_judged: called with the folder of each judgement that is made.

    Raises:
        FacecloakError: something in the arguments cannot work; raised before any photo is protected.

    Example:
        >>> import tempfile
        >>> results = benchmark("pocket", methods=["none", "blur"], targets=["1"], limit=1, out=tempfile.mkdtemp())
        >>> results.summary(far=0.01)["method"].tolist()
        ['blur:default', 'none:default']
    """
    loaded = load_suite(suite) if isinstance(suite, str) else suite
    plan = make_plan(loaded, Request(
        out=Path(out), methods=methods, config=settings, objective=objective, targets=targets, black_boxes=black_boxes,
        white_boxes=white_boxes, countermeasures=countermeasures, limit=limit, batch_size=batch_size,
        accelerator=accelerator, mode=mode,
    ))  # fmt: skip
    Runner(plan, RunProgress(shown=progress)).run(on_judged)
    return load_results(out)


@quietly()
def curves(
    suite: str | Suite,
    *,
    out: str | Path,
    methods: Sequence[str] | None = None,
    objective: Goal | None = None,
    targets: Sequence[str] | None = None,
    black_boxes: Sequence[str] | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    accelerator: str = "auto",
    progress: bool = False,
) -> Results:
    """Protect and judge at each strength of each method (`ProtectionMethod.strength`), to compare at equal quality.

    Args:
        suite: name, path of a YAML file, or the result of `load_suite`.
        out: folder of the run; what is there already is kept.
        methods, targets, black_boxes, limit, batch_size, accelerator, progress: as in `benchmark`.
        objective: impersonation or obfuscation; by default the suite's. The PSR of obfuscation is dodging.

    Raises:
        FacecloakError: something in the arguments cannot work; raised before any photo is protected.

    Example:
        >>> results = curves("pocket", methods=["ti_dim", "tip_im"], out="runs/curves")  # doctest: +SKIP
        >>> results.equal_quality()  # doctest: +SKIP
    """
    loaded = load_suite(suite) if isinstance(suite, str) else suite
    run_curves(loaded, Request(
        out=Path(out), methods=methods, objective=objective, targets=targets, black_boxes=black_boxes, limit=limit,
        batch_size=batch_size, accelerator=accelerator,
    ), RunProgress(shown=progress))  # fmt: skip
    return load_results(out)


@quietly()
def judge(
    run: str | Path,
    recognizers: Sequence[str] = (),
    *,
    adapted: bool = False,
    countermeasures: Sequence[str] = (),
    thresholds: str | Path | None = None,
    white_box: bool = False,
    accelerator: str = "auto",
    progress: bool = False,
    on_judged: Iterable[Callable[[Path], None]] = (),
) -> Results:
    """Judge the finished pictures of a run by more recognizers or after countermeasures; nothing is protected again.

    Args:
        run: folder of a run.
        recognizers: names of recognizers, which the suite need not use; without any, those that have judged already.
        adapted: also by recognizers that have learned from cloaked photos, ``NAME+adapted``.
        countermeasures: what is done to the pictures before they are judged, see `benchmark`.
        thresholds: file written by `calibrate`, instead of the suite's.
        white_box: also judge pictures that were made by attacking the recognizer.
        accelerator: auto, cpu or gpu.
        progress: show a bar.
        on_judged: called with the folder of each judgement that is made.

    Raises:
        FacecloakError: a recognizer or its thresholds are missing, or the suite's photos have changed.

    Example:
        >>> judge("runs/pocket", ["mine"], thresholds="mine.json").summary()  # doctest: +SKIP
        >>> judge("runs/pocket", countermeasures=["common"]).survival  # doctest: +SKIP
    """
    judge_run(
        Path(run), recognizers, adapted=adapted, countermeasures=countermeasures,
        thresholds=None if thresholds is None else Path(thresholds), white_box=white_box,
        accelerator=accelerator, progress=RunProgress(shown=progress), on_judged=on_judged,
    )  # fmt: skip
    return load_results(run)


@quietly()
def evaluate(
    originals: str | Path,
    protected: str | Path,
    *,
    out: str | Path,
    others: str | Path | None = None,
    suffix: str | None = None,
    suite: str = "faces",
    name: str = "external",
    target: str | None = None,
    black_boxes: Sequence[str] | None = None,
    objective: Goal | None = None,
    accelerator: str = "auto",
    progress: bool = False,
    on_judged: Iterable[Callable[[Path], None]] = (),
) -> Results:
    """Score protected photos that any tool made, as a run like any other.

    Args:
        originals, protected, others: folders of unprotected photos, of protected ones, of another photo of each person.
        out: folder of the run.
        suffix: text that the protected photos' names have at their end in addition to the originals' names.
        suite: whose recognizers, target and thresholds are used.
        name: the tool's name in tables.
        target: by default the suite's first.
        black_boxes: judges, by default all of the suite.
        objective: impersonation or obfuscation; by default the suite's.
        accelerator: auto, cpu or gpu.
        progress: show a bar.
        on_judged: called with the folder of each judgement.

    Raises:
        FacecloakError: folders, suite, target or recognizers are wrong, or no photo can be used.

    Example:
        >>> evaluate("photos", "cloaked", suite="pocket", name="mytool", out="runs/mytool").table  # doctest: +SKIP
    """
    evaluate_folders(
        originals=Path(originals), protected=Path(protected), others=None if others is None else Path(others),
        suffix=suffix, out=Path(out), suite=suite, name=name, target=target, black_boxes=black_boxes,
        objective=objective, accelerator=accelerator, progress=RunProgress(shown=progress), on_judged=on_judged,
    )  # fmt: skip
    return load_results(out)
