"""The data that Weights & Biases gets about a method: read from a run's folder, which needs no account.

Without pictures nothing that is sent shows a face, and no path leaves the machine: see `without_paths`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.results.pictures import difference
from benchmarks.results.schema import COLUMNS, columns_of
from benchmarks.results.store import (
    NO_COUNTERMEASURE,
    Judgement,
    find_protections,
    judgements_of,
    protection_of,
    protections_folder,
    read_judgement,
    read_protection,
    sources_folder,
)
from benchmarks.results.table import headline_far, is_adapted, tabulate, without_adversaries
from facecloak.errors import FacecloakError
from facecloak.io import file_name, read_image, read_json, sha256_json

SAMPLES = 4  # pictures per method
RATES = [name for name in columns_of("success") if COLUMNS[name].low == 0 and not name.endswith(("_low", "_high"))]
AMOUNTS = [name for name in columns_of("quality", "distance", "cost") if COLUMNS[name].kind == "number"]
COUNTS = [name for name in columns_of("counts") if not COLUMNS[name].by_far]
ABOUT = [name for name in COLUMNS if name in columns_of("about", "provenance") or COLUMNS[name].kind == "name"]


class Method(NamedTuple):
    """The content of one run of W&B: a method with its settings, in one suite of one run's folder."""

    run: Path
    suite: str
    objective: str
    method: str
    settings_hash: str


@dataclass(frozen=True)
class Tracked:
    """One run of W&B.

    Attributes:
        stem: depends only on the method, suite, objective and settings, not on the results. Of letters, digits and
            ``_.-``, which W&B requires of the name of an artifact.
        content: hash of everything that is sent, except pictures.
        name: the name that people read; it does not depend on the results.
        group, tags, config: for finding the run at W&B.
        summary: means and counts of the method, and its rates at each place, without those that were not measured.
        rows: the rows of its table, with all columns.
        curves: ``loss/NAME`` of each iteration, the mean over all images.
        samples: name and original | protected | ×10 difference, uint8 H×3W×3; empty without pictures.
        folder: where the artifact's files are.
        files: the artifact's files; empty without pictures.
        out: folder of the run; W&B's own files go to its ``wandb``.
    """

    stem: str
    content: str
    name: str
    group: str
    tags: list[str]
    config: dict[str, Any]
    summary: dict[str, float]
    rows: list[dict[str, Any]]
    curves: list[dict[str, float]]
    samples: list[tuple[str, np.ndarray]]
    folder: Path
    files: list[Path]
    out: Path


def method_of(protection: Path) -> Method:
    """The method that made a protection; raises `FacecloakError` if its protection.json is missing or damaged."""
    about = read_protection(protection)
    return Method(protection.parents[1], *(str(about.get(field)) for field in Method._fields[1:]))


def find_methods(runs: Iterable[Path]) -> dict[Method, list[Path]]:
    """Each method of the runs with the folders of its complete judgements; raises the errors of `find_protections`."""
    found = defaultdict(list)
    for protection in find_protections(runs):
        complete = [folder for folder in judgements_of(protection) if (folder / "judgement.json").exists()]
        if complete:
            found[method_of(protection)] += complete
    return dict(found)


def tracked_method(run: Path, judgements: Iterable[Path], images: bool) -> Tracked:
    """The data that is sent about a method.

    Args:
        run: folder of the run.
        judgements: folders of the method's judgements, all of one suite, objective and settings.
        images: include pictures and files, which show faces.

    Raises:
        FacecloakError: no judgement is complete, or they cannot be in one table.
    """
    read = [judgement for folder in judgements if (judgement := read_judgement(folder)) and judgement.rows]
    if not read:
        raise FacecloakError(f"{run}: no judgement of the method is complete.")
    table, about = tabulate(read), read[0].protection
    protections = [*dict.fromkeys(protection_of(judgement.folder) for judgement in read)]
    suite, objective, method, settings = (about[field] for field in Method._fields[1:])
    stem = f"{file_name(method)[:40]}-{sha256_json([suite, objective, method, settings])[:8]}"
    rows = without_paths(json.loads(table.to_json(orient="records")))  # no NaN
    config, curves = without_paths(_config(table, read)), _curves(protections)
    return Tracked(
        stem, sha256_json([config, rows, curves])[:12],
        f"{method}:{about['preset']} ({objective}, settings {settings[:6]})"[:128], suite[:128],
        [text[:64] for text in (method, about["preset"], objective)], config, _summary(table), rows, curves,
        _samples(run, protections) if images else [], protections_folder(run),
        _files(protections) if images else [], run,
    )  # fmt: skip


def _config(table: pd.DataFrame, judgements: list[Judgement]) -> dict[str, Any]:
    """The method's settings, and the descriptive columns that have the same value in all rows."""
    same = {name: table[name].iloc[0] for name in ABOUT if table[name].nunique(dropna=False) == 1}
    boxes = table.drop_duplicates("black_box").set_index("black_box")["weights_sha256"]
    weights = {name: sha for each in judgements for name, sha in each.protection["weights"].items()}
    first = judgements[0]
    return {
        first.protection["method"]: first.protection["settings"],
        **{name: value.item() if hasattr(value, "item") else value for name, value in same.items() if pd.notna(value)},
        "headline_far": headline_far(table["far"]),
        "targets": sorted(table["target"].unique()),
        "judges": sorted(table["black_box"].unique()),
        "weights": {**weights, **boxes.where(boxes.notna(), None)},
        "versions": {"facecloak": first.rows[0].get("facecloak"), "torch": first.provenance.get("torch")},
    }


def _summary(table: pd.DataFrame) -> dict[str, float]:
    """Rates in per cent: ``psr`` … at the headline FAR over all places, ``psr/JUDGE/TARGET/FAR`` … at each place.

    A place is target × black box; its number is the mean over the sets of surrogates that were attacked for it. Counts
    are summed over protections. For white boxes there are only single rates (``psr_white_box/…``), and for
    countermeasures, and for recognizers that have learned from cloaked photos, ``psr_after/NAME`` over all places.
    """
    plain = without_adversaries(table)
    black = plain[(plain["far"] == headline_far(table["far"])) & ~plain["white_box"].astype(bool)]
    values = {name: 100 * mean for name in RATES if (mean := _mean(black, name)) is not None}
    values |= {name: mean for name in AMOUNTS if (mean := _mean(black, name)) is not None}
    made = (plain if len(plain) else table).drop_duplicates("protection")[COUNTS].apply(pd.to_numeric)
    values |= {name: int(made[name].sum()) for name in COUNTS if made[name].notna().any()}
    values["n_judgements"] = table["run_id"].nunique()
    for (white, judge, target, far), rows in plain.groupby(["white_box", "black_box", "target", "far"]):
        for name in (name for name in RATES if not name.endswith("_clean")):
            rate = _numbers(rows, name).mean(skipna=False)
            if pd.notna(rate):
                values[f"{name}{'_white_box' if white else ''}/{judge}/{target}/{far:g}"] = 100 * float(rate)
    at_far = table[(table["far"] == headline_far(table["far"])) & ~table["white_box"].astype(bool)]
    learned, published = is_adapted(at_far), at_far["countermeasure"] == NO_COUNTERMEASURE
    after = {"adapted": at_far[learned & published], **dict([*at_far[~learned & ~published].groupby("countermeasure")])}
    places = black.groupby(["target", "black_box"]).ngroups  # a rate over fewer would be another mean
    whole = {name: rows for name, rows in after.items() if rows.groupby(["target", "black_box"]).ngroups == places}
    means = {f"psr_after/{name}": _mean(rows, "psr") for name, rows in whole.items()}
    return values | {name: 100 * mean for name, mean in means.items() if mean is not None}


def _mean(rows: pd.DataFrame, column: str) -> float | None:
    """The mean over places, as in the leaderboard: None unless each target × black box is there and has a value.

    Pictures that are equal to their sources have no PSNR and do not count towards its mean.
    """
    places = rows.groupby(["target", "black_box"]).ngroups
    if not places or places != rows["target"].nunique() * rows["black_box"].nunique():
        return None
    if column == "psnr":
        rows = rows[rows["psnr"].notna() | ~(_numbers(rows, "n_identical") > 0)]
    means = _numbers(rows, column).groupby([rows["target"], rows["black_box"]]).agg(lambda of: of.mean(skipna=False))
    return float(means.mean()) if len(means) and means.notna().all() else None


def _numbers(rows: pd.DataFrame, column: str) -> pd.Series:
    return pd.to_numeric(rows[column]).astype(float)


def _curves(protections: list[Path]) -> list[dict[str, float]]:
    paths = [path for protection in protections for path in sorted((protection / "outcomes").glob("*.json"))]
    histories = [read_json(path).get("history") or {} for path in paths]
    names = dict.fromkeys(name for history in histories for name in history)
    curves = {f"loss/{name}": pd.DataFrame([h[name] for h in histories if name in h]).mean() for name in names}
    steps = json.loads(pd.DataFrame(curves).to_json(orient="records"))  # no NaN
    return [{name: value for name, value in step.items() if value is not None} for step in steps]


def _samples(run: Path, protections: list[Path]) -> list[tuple[str, np.ndarray]]:
    """The first images whose sources were kept."""
    found = []
    for protection in protections:
        about = read_protection(protection)
        for path in sorted((protection / "images").glob("*.png")):
            original = sources_folder(run, about["suite"]) / path.name
            if len(found) < SAMPLES and original.is_file():
                picture = _side_by_side(read_image(original), read_image(path))
                found += [(f"{path.stem}, target {about['target']}", picture)] if picture is not None else []
    return found


def _side_by_side(original: np.ndarray, protected: np.ndarray) -> np.ndarray | None:
    change = difference(protected, original)
    return None if change is None else np.concatenate([original, protected, change], axis=1)


def _files(protections: list[Path]) -> list[Path]:
    """All files except those that are being written at the moment."""
    paths = (path for protection in protections for path in sorted(protection.rglob("*")))
    return [path for path in paths if path.is_file() and not path.name.startswith(".")]


# A path that starts with a root, home, drive, working directory or variable, up to what can end it in a sentence;
# spaces may be part of it. Web addresses are kept, and so are paths such as $FACECLOAK_DATA/…
_PATH = re.compile(
    r"""https?://\S+ | (?<![\w$}\\/.]) (?:[A-Za-z]: | ~[^\s\\/]* | \.{1,2} | \$(?!\{?FACECLOAK_)\{?\w+\}?)?
        [\\/]+ [^:;"'\n]*""",
    re.VERBOSE,
)


def without_paths(value: Any) -> Any:
    """The same value with each path in its texts reduced to its last component."""
    if isinstance(value, dict):
        return {key: without_paths(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_paths(inner) for inner in value]
    if not isinstance(value, str):
        return value
    text = _PATH.sub(lambda found: _last_component(found[0]), value)
    return "" if re.fullmatch(r"~.*|[A-Za-z]:", text) else text  # a home or a drive without a path


def _last_component(path: str) -> str:
    return path if path.startswith("http") else re.split(r"[\\/]", path.rstrip("\\/"))[-1]
