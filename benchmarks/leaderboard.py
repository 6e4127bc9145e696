"""Leaderboard tables: pure functions of the cells' directories."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.cell import read_result
from benchmarks.records import COLUMNS
from facecloak.errors import FacecloakError
from facecloak.io import write_bytes

HEADLINE_FAR = 0.01
RATES = ("psr", "psr_clean", "dodging", "dodging_clean")
ORDER = ["suite", "objective", "white_box", "method", "preset", "settings_hash", "target", "black_box", "far"]


def long_table(folders: list[Path]) -> pd.DataFrame:
    """The rows of complete cells, one per cell and FAR, sorted; columns as in `COLUMNS`.

    Raises:
        FacecloakError: rows that may not stand in one table (other photos, thresholds or weights).
    """
    results = [read_result(folder) for folder in folders]
    rows = [row for result in results if result for row in result["rows"]]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    _refuse_mixed(table)
    counts = [column for column in COLUMNS if column.startswith("n_")]
    table[counts] = table[counts].astype("Int64")
    return table.sort_values(ORDER, ignore_index=True)


def _refuse_mixed(table: pd.DataFrame) -> None:
    same = {"manifest_sha256": ["suite"], "weights_sha256": ["suite", "black_box"],
            "threshold": ["suite", "black_box", "far"]}  # fmt: skip
    for column, by in same.items():
        for name, group in table.groupby(by):
            if group[column].nunique(dropna=False) > 1:
                raise FacecloakError(
                    f"Cells of {' '.join(map(str, name))} differ in {column} ({_examples(group, column)}) and cannot "
                    "stand in one table. Repeat the older ones under the same --limit, photos, weights and thresholds, "
                    "delete their directories, or use another --out."
                )


def _examples(group: pd.DataFrame, column: str) -> str:
    """A cell of each kind, with its number of images."""
    first = group.drop_duplicates(column)
    return ", ".join(f"{row['run_id']}: n = {row['n_images']}" for _, row in first.iterrows())


def wide_table(table: pd.DataFrame) -> pd.DataFrame:
    """Method × black box at the headline FAR: PSR in per cent, averaged over targets; averages, quality, cost.

    A method that lacks a cell of the others has no average: missing cells are never averaged away.
    """
    kinds = ["suite", "objective", "white_box"]
    lines = []
    for kind, part in table[table["far"] == headline_far(table["far"])].groupby(kinds, sort=True):
        boxes, targets = sorted(part["black_box"].unique()), part["target"].nunique()
        for method, group in part.groupby(["method", "preset", "settings_hash"], sort=True):
            line = dict(zip([*kinds, "method", "preset", "settings_hash"], (*kind, *method), strict=True))
            line["far"] = headline_far(table["far"])
            for box in boxes:
                line[f"psr {box}"] = 100 * pd.to_numeric(group.loc[group["black_box"] == box, "psr"]).mean()
            for column in RATES:
                rates = pd.to_numeric(group[column])
                complete = len(group) == len(boxes) * targets and rates.notna().all()
                line[f"average {column}"] = 100 * rates.mean() if complete else float("nan")
            for column in ("psnr", "ssim", "lpips", "fid", "fd", "seconds_per_image"):
                line[column] = pd.to_numeric(group[column]).mean()
            for column in ("n_images", "n_identical", "n_undetected", "n_failed", "n_unusable"):
                line[column] = int(pd.to_numeric(group[column]).fillna(0).sum())
            lines.append(line)
    return pd.DataFrame(lines)


def headline_far(fars: Collection[float]) -> float:
    """0.01, or the smallest FAR where that was not measured."""
    return HEADLINE_FAR if HEADLINE_FAR in set(fars) else float(min(fars))


def summary(rows: list[dict]) -> str:
    """A cell in one line, at the headline FAR or, without it, the first."""
    row = next((row for row in rows if row["far"] == HEADLINE_FAR), rows[0])
    rates = {name: "–" if row[name] is None else f"{100 * row[name]:.0f} %" for name in RATES}
    quality = "identical" if row.get("psnr") is None else f"{row['psnr']:.1f} dB"
    seconds = f", {row['seconds_per_image']:.1f} s an image" if row.get("seconds_per_image") else ""
    psr = f"PSR {rates['psr']} (clean {rates['psr_clean']})"
    return (
        f"{psr}, dodging {rates['dodging']} (clean {rates['dodging_clean']}) at FAR {row['far']:g}, {quality}{seconds}"
    )


def write_leaderboard(out: Path, folders: list[Path]) -> None:
    """Write these cells below ``out``: ``leaderboard.csv`` (long), ``leaderboard_wide.csv`` and ``leaderboard.md``."""
    table = long_table(folders)
    wide = wide_table(table)
    wide["psnr"] = [_psnr(line) for _, line in wide.iterrows()]
    pages = [_page(part) for _, part in table.groupby(["suite", "objective"], sort=True)]
    text = "\n".join(f"{title}\n\n{markdown_table(heads, lines)}" for title, heads, lines in pages)
    write_bytes(out / "leaderboard.csv", table.to_csv(index=False).encode())
    write_bytes(out / "leaderboard_wide.csv", wide.to_csv(index=False).encode())
    write_bytes(out / "leaderboard.md", text.encode())


def print_leaderboard(table: pd.DataFrame) -> None:
    """The wide table of a run, for people."""
    title, (first, *others), lines = _page(table)
    view = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    view.add_column(first, no_wrap=True)
    for head in others:
        view.add_column(head, justify="right", overflow="fold")
    for line in lines:
        view.add_row(*line)
    wide_console().print(view)


def _page(table: pd.DataFrame) -> tuple[str, list[str], list[list[str]]]:
    """Title, column heads and lines of the wide table of one suite and objective, as text."""
    wide, first = wide_table(table), table.iloc[0]
    boxes = [column for column in wide.columns if column.startswith("psr ")]
    title = (
        f"{first['suite']}, {first['objective']}: PSR in % at FAR {headline_far(table['far']):g}, "
        f"n = {table['n_images'].max()} a cell"
    )
    networks = set(table["fd_network"].dropna())
    distance = "FID" if table["fid"].notna().any() else f"fd_{networks.pop()}" if len(networks) == 1 else "fd"
    heads = ["method", *(box.removeprefix("psr ") for box in boxes), "average", "(clean)", "dodging", "(clean)",
             "PSNR dB", "SSIM", distance, "no face", "failed", "s/image"]  # fmt: skip
    lines = []
    for name, (_, line) in zip(method_names(wide), wide.iterrows(), strict=True):
        rates = [line[column] for column in (*boxes, *(f"average {rate}" for rate in RATES))]
        counts = [str(line["n_undetected"]), str(line["n_failed"])]
        distance_value = line["fd"] if pd.isna(line["fid"]) else line["fid"]
        quality = [str(_psnr(line, 1)), _number(line["ssim"], 3), _number(distance_value, 2)]
        seconds = _number(line["seconds_per_image"], 2)
        lines.append([name, *(_number(rate, 1) for rate in rates), *quality, *counts, seconds])
    return title, heads, lines


def method_names(table: pd.DataFrame) -> list[str]:
    """What to call each line: method and preset, the hash where settings beside the preset leave it open."""
    names = []
    for _, line in table.iterrows():
        name = f"{line['method']}:{line['preset']}"
        if (table["method"] + ":" + table["preset"] == name).sum() > 1 and "*" in name:
            name += f" {line['settings_hash'][:6]}"
        names.append(name + (" (white box)" if line["white_box"] else ""))
    return names


def markdown_table(heads: list[str], lines: list[list[str]]) -> str:
    """A table in GitHub's Markdown, the first column to the left and the others to the right."""
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def wide_console() -> Console:
    """The terminal, or a page of 160 columns where the output goes to a file: rich would cut it at 80."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _number(value: float, digits: int) -> str:
    return "–" if pd.isna(value) else f"{value:.{digits}f}"


def _psnr(line: pd.Series, digits: int | None = None) -> str | float:
    """Equal images have no finite PSNR: say so in a word."""
    if pd.isna(line["psnr"]) and line["n_identical"]:
        return "identical"
    return line["psnr"] if digits is None else _number(line["psnr"], digits)
