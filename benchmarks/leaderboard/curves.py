"""Methods compared at equal quality: curves of PSR against picture quality over a method's strengths.

A curve is all results of a method whose settings differ in one number only, so that any run which has several strengths
(`facecloak curves` makes one) has curves.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.console import markdown_table
from benchmarks.leaderboard.averages import PERCEPTUAL, distance_name, distances_of
from benchmarks.results.records import Records
from benchmarks.results.store import Judgement
from benchmarks.results.table import BOARD, TASK, headline_far
from facecloak.io import to_csv, write_bytes
from facecloak.metrics.curves import Draws, bound_at, estimate, probability_higher, value_at

if TYPE_CHECKING:
    from pathlib import Path

# column of the table → (quality that is fixed, its level) or (rate that is fixed, its level, quality that is read)
AT_QUALITY = {"PSR at 30 dB, %": ("psnr", 30.0), "PSR at SSIM 0.90, %": ("ssim", 0.9)}
AT_PSR = {
    f"{head} at PSR {level} %": (column, level / 100)
    for level in (50, 90)
    for column, head in {"psnr": "PSNR dB", "ssim": "SSIM", **PERCEPTUAL}.items()
}
QUALITIES = ("psnr", "ssim", *PERCEPTUAL)
LOWER = tuple(PERCEPTUAL.values())  # is better, in heads of columns
LINE = [*TASK, "white_box", "source", "method", "settings_hash"]  # these columns name a line of the wide table
FILE, COMPARED = "curves.csv", "equal_quality.csv"
NOTE = (
    "Read from curves over each method's strength, linearly between its points, where the weakest strength reaches the "
    "level; nothing is extrapolated (–). ≥ (for perceptual distances ≤): the method is better than the level at all "
    "its strengths, so that at the level or better it has at least the value of the nearest one, which is shown. All "
    "are means over photos, of strengths that every black box has judged. In parentheses: 95 % bootstrap intervals "
    "over photos, the same draws for all methods; none where one in twenty draws does not reach the level."
)
DODGING = "PSR is dodging here: the share of photos that are no longer matched to another photo of the same person."


class Reading(NamedTuple):
    """An `Estimate` of a curve at a level, or a ``bound`` if the method is better than the level at all its strengths.

    At the level or better, a method with a bound has at least ``mean`` (perceptual distances: at most): the value at
    its strength that is nearest to the level, the strongest one for a quality and the weakest one for a PSR. That
    strength is given by the level. The best value of all strengths would be picked by its own random error.
    """

    mean: float
    low: float
    high: float
    n: int
    bound: bool


@dataclass(frozen=True)
class Curve:
    """A method at several strengths, on one board's black boxes, at the headline FAR.

    Attributes:
        name: the method.
        setting: what differs between the points; None for a single point.
        values: P values of it, the weakest strength first: in the order, up or down, in which SSIM falls.
        lines: P pairs of ``method`` and ``settings_hash``, which name each point's line on the board.
        photos: N names.
        won: P×N share of an image's judgements that succeeded, NaN for photos in no rate.
        quality: each of `QUALITIES` → P×N.
        distances: P Fréchet distances between all protected and all unprotected photos, means over the protections that
            were judged; NaN where one lacks it. They have no value per photo, so that no level is read from them.
        distance_name: ``fid``, or ``fd_NETWORK``.
    """

    name: str
    setting: str | None
    values: list[Any]
    lines: list[tuple[str, str]]
    photos: list[str]
    won: np.ndarray
    quality: dict[str, np.ndarray]
    distances: np.ndarray
    distance_name: str


def find_curves(
    table: pd.DataFrame, judgements: dict[str, Judgement], read: Callable[[str], Records]
) -> dict[tuple[str, str], list[Curve]]:
    """(suite, objective) → curves by name; only of boards where a method has at least two strengths.

    Args:
        table: a long table, see `without_adversaries`.
        judgements: run_id → judgement.
        read: gives the records of a run_id; not called for boards that have no curves.
    """
    found = {}
    rows = table[~table["white_box"].astype(bool)]
    for (suite, objective, _), board in rows.groupby(BOARD, sort=True):
        at_far = board[board["far"] == headline_far(board["far"])]
        at_far = at_far.assign(
            name=[_name(*pair) for pair in zip(at_far["method"], at_far["preset"], strict=True)],
            distance=distances_of(at_far), distance_name=distance_name(at_far),
        )  # fmt: skip
        complete = _with_all_cells(at_far)
        if not (complete.groupby("name")["settings_hash"].nunique() > 1).any():
            continue
        curves = [curve for _, own in complete.groupby("name", sort=True) for curve in _curves(own, judgements, read)]
        curves = [curve for curve in curves if curve.photos]
        if any(len(curve.values) > 1 for curve in curves):
            photos = sorted({photo for curve in curves for photo in curve.photos})
            found[suite, objective] = [_on(curve, photos) for curve in curves]
    return found


def _name(method: str, preset: str) -> str:
    """The method, with the preset that its settings begin from unless that is the default."""
    preset = preset.rstrip("*")
    return method if preset == "default" else f"{method}:{preset}"


def _with_all_cells(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of those settings that every black box has judged for every target: others would be other means."""
    cells = rows.groupby(["target", "black_box"]).ngroups
    by = rows.groupby(["method", "settings_hash"])
    return by.filter(lambda own: own.groupby(["target", "black_box"]).ngroups == cells)


def _curves(rows: pd.DataFrame, judgements: dict[str, Judgement], read: Callable[[str], Records]) -> Iterator[Curve]:
    """A method's curve if its settings differ in one number, else a point for each of its settings."""
    settings = {
        key: judgements[own["run_id"].iloc[0]].protection["settings"] for key, own in rows.groupby("settings_hash")
    }
    fields = {field for each in settings.values() for field in each}
    varying = [field for field in fields if len({repr(each.get(field)) for each in settings.values()}) > 1]
    method = rows["name"].iloc[0]
    if (
        len(varying) == 1
        and varying != ["seed"]
        and all(_is_number(each.get(varying[0])) for each in settings.values())
    ):
        ordered = sorted(settings, key=lambda key: settings[key][varying[0]])
        values = [settings[key][varying[0]] for key in ordered]
        yield _curve(method, varying[0], values, [rows[rows["settings_hash"] == key] for key in ordered], read)
        return
    for key, own in rows.groupby("settings_hash"):
        name = method if len(settings) == 1 else f"{method} {key[:6]}"
        yield _curve(name, None, [None], [own], read)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _curve(
    name: str, setting: str | None, values: list[Any], points: list[pd.DataFrame], read: Callable[[str], Records]
) -> Curve:
    measured = [_point(rows, read) for rows in points]
    if _mean(measured[0]["ssim"]) < _mean(measured[-1]["ssim"]):  # a higher value of the setting is a weaker strength
        measured, values, points = measured[::-1], values[::-1], points[::-1]
    photos = sorted({photo for each in measured for photo in each["won"]})
    arrays = {
        column: np.array([[each[column].get(photo, math.nan) for photo in photos] for each in measured])
        for column in ("won", *QUALITIES)
    }
    distances = [rows.drop_duplicates("protection")["distance"].mean(skipna=False) for rows in points]
    lines = [(rows["method"].iloc[0], rows["settings_hash"].iloc[0]) for rows in points]
    return Curve(name, setting, values, lines, photos, arrays.pop("won"), arrays,
                 np.array(distances, dtype=np.float64), points[0]["distance_name"].iloc[0])  # fmt: skip


def _mean(by_photo: dict[str, float]) -> float:
    return float(np.mean([*by_photo.values()])) if by_photo else math.nan


def _point(rows: pd.DataFrame, read: Callable[[str], Records]) -> dict[str, dict[str, float]]:
    """``won`` and qualities → photo → mean over the judgements of that photo."""
    found: dict[str, dict[str, list[float]]] = {column: defaultdict(list) for column in ("won", *QUALITIES)}
    for row in rows.to_dict("records"):
        record = read(row["run_id"])
        won = record.outcomes(row["objective"], row["threshold"])
        for column, values in (("won", won), *((name, getattr(record, name)) for name in QUALITIES)):
            for photo, value in zip(record.ids, values.tolist(), strict=True):
                if math.isfinite(value):
                    found[column][photo].append(value)
    return {column: {photo: float(np.mean(each)) for photo, each in own.items()} for column, own in found.items()}


def _on(curve: Curve, photos: list[str]) -> Curve:
    """The same curve with columns for all photos of the board, so that draws of photos are shared."""
    places = [curve.photos.index(photo) if photo in curve.photos else -1 for photo in photos]
    wide = {
        name: np.where(np.array(places) >= 0, array[:, places], np.nan)
        for name, array in {"won": curve.won, **curve.quality}.items()
    }
    return replace(curve, photos=photos, won=wide.pop("won"), quality=wide)


def points_table(curves: list[Curve]) -> pd.DataFrame:
    """A line for each point: ``method``, ``setting``, ``value``, ``psr`` (fraction), qualities, Fréchet distance."""
    lines = []
    for curve in curves:
        draws = Draws.of(len(curve.photos), resamples=1)
        means = {name: draws.means(array)[0] for name, array in {"psr": curve.won, **curve.quality}.items()}
        lines += [
            {"method": curve.name, "setting": curve.setting, "value": value}
            | {name: float(each[place]) for name, each in means.items()}
            | {"distance": float(curve.distances[place]), "distance_name": curve.distance_name}
            for place, value in enumerate(curve.values)
        ]
    return pd.DataFrame(lines)


def equal_quality(curves: list[Curve]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each curve read at the levels of `AT_QUALITY` and `AT_PSR`, and how likely each method beats each other there.

    Returns:
        a line per method with a column of `Reading` per level (PSR in per cent); and a line per pair of methods:
        ``first``, ``second``, and per column of `AT_QUALITY` the probability that the first one's PSR is higher.
    """
    draws, lines, drawn = Draws.of(len(curves[0].photos)), [], {}
    for curve in curves:
        psr = draws.means(curve.won)
        quality = {name: draws.means(array) for name, array in curve.quality.items()}
        read = {head: 100 * value_at(quality[name], psr, level) for head, (name, level) in AT_QUALITY.items()}
        bounds = {head: 100 * bound_at(quality[name], psr, level, -1) for head, (name, level) in AT_QUALITY.items()}
        for head, (name, level) in AT_PSR.items():
            read[head] = value_at(psr, quality[name], level)
            bounds[head] = bound_at(psr, quality[name], level, 0)
        drawn[curve.name] = read
        lines.append({"method": curve.name} | {head: _reading(read[head], bounds[head], curve) for head in read})
    pairs = [
        {"first": one, "second": other}
        | {head: probability_higher(drawn[one][head], drawn[other][head]) for head in AT_QUALITY}
        for one, other in combinations(drawn, 2)
    ]
    return pd.DataFrame(lines), pd.DataFrame(pairs)


def _reading(values: np.ndarray, bounds: np.ndarray, curve: Curve) -> Reading:
    """The estimate at a level, or else the bound, which in some draws is a value."""
    bound = math.isnan(values[0]) and not math.isnan(bounds[0])
    drawn = np.where(np.isnan(values), bounds, values) if bound else values
    return Reading(*estimate(drawn, len(curve.photos)), bound)


def reached(table: pd.DataFrame) -> list[str]:
    """The levels of an `equal_quality` table at which some method has a value or a bound."""
    return [head for head in table if head != "method" and any(not math.isnan(each.mean) for each in table[head])]


def with_levels(wide: pd.DataFrame, found: dict[tuple[str, str], list[Curve]]) -> pd.DataFrame:
    """A wide table with columns for each level that some method reaches: ``HEAD``, ``HEAD low``, … as in `Reading`.

    What is read from a curve belongs to the method, so that the lines of all its strengths have the same numbers. They
    are empty in lines of no curve, where a curve does not reach the level, for white boxes and for reported numbers.

    Args:
        wide: `wide_table`; without curves it is returned as it is.
        found: `find_curves`.
    """
    tables = {key: equal_quality(curves)[0] for key, curves in found.items()}
    heads = [head for head in (*AT_QUALITY, *AT_PSR) if any(head in reached(table) for table in tables.values())]
    if not heads:
        return wide
    lines = [
        dict(zip(LINE, (*key, False, "measured", *line), strict=True)) | _cells(readings, heads)
        for key, table in tables.items()
        for curve, readings in zip(found[key], table.to_dict("records"), strict=True)
        for line in curve.lines
    ]
    return wide.merge(pd.DataFrame(lines), how="left", on=LINE, validate="many_to_one")


def _cells(readings: dict[str, Reading], heads: list[str]) -> dict[str, float | bool | None]:
    cells: dict[str, float | bool | None] = {}
    for head in heads:
        mean, low, high, _, bound = readings[head]
        cells |= {head: mean, f"{head} low": low, f"{head} high": high}
        cells[f"{head} bound"] = None if math.isnan(mean) else bound
    return cells


def curves_markdown(found: dict[tuple[str, str], list[Curve]]) -> str:
    """A section for each board, for ``leaderboard.md``."""
    sections = []
    for (suite, objective), curves in found.items():
        table, pairs = equal_quality(curves)
        shown = ["method", *reached(table)]
        lines = [
            [line["method"], *(_text(line[head], head) for head in shown[1:])]
            for line in sorted(table.to_dict("records"), key=lambda line: _order(line[next(iter(AT_QUALITY))]))
        ]
        sections += [
            f"\n## {suite}, {objective}: compared at equal quality\n",
            markdown_table(shown, lines),
            (f"{DODGING} {NOTE}\n" if objective == "obfuscation" else f"{NOTE}\n"),
        ]
        known = [pair for pair in pairs.to_dict("records") if any(not math.isnan(pair[head]) for head in AT_QUALITY)]
        if known:
            heads = ["first", "second", *(f"P(first better), {head.removesuffix(', %')}" for head in AT_QUALITY)]
            sections.append(markdown_table(heads, [
                [pair["first"], pair["second"], *(_share(pair[head]) for head in AT_QUALITY)] for pair in known
            ]))  # fmt: skip
    return "\n".join(sections)


def write_curves(found: dict[tuple[str, str], list[Curve]], out: Path) -> None:
    """Write ``curves.csv`` and ``equal_quality.csv`` below ``out``; without curves, remove earlier ones."""
    if not found:
        for name in (FILE, COMPARED):
            (out / name).unlink(missing_ok=True)
        return
    points, levels = [], []
    for (suite, objective), curves in found.items():
        about = {"suite": suite, "objective": objective}
        points.append(points_table(curves).assign(**about))
        table, _ = equal_quality(curves)
        for line in table.to_dict("records"):
            levels += [
                about | {"method": line["method"], "level": head, **line[head]._asdict()}
                for head in table
                if head != "method"
            ]
    first = ["suite", "objective"]
    whole = pd.concat(points, ignore_index=True)
    write_bytes(out / FILE, to_csv(whole[[*first, *(column for column in whole if column not in first)]]))
    write_bytes(out / COMPARED, to_csv(pd.DataFrame(levels)))


def _text(value: Reading, head: str) -> str:
    digits = 3 if head.startswith(("SSIM", *LOWER)) else 1
    if math.isnan(value.mean):
        return "–"
    sign = ("≤ " if head.startswith(LOWER) else "≥ ") if value.bound else ""
    interval = "" if math.isnan(value.low) else f" ({value.low:.{digits}f}–{value.high:.{digits}f})"
    return f"{sign}{value.mean:.{digits}f}{interval}"


def _order(value: Reading) -> float:
    return math.inf if math.isnan(value.mean) else -value.mean


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
