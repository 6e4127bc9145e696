"""The leaderboard as text: for the terminal, Markdown and LaTeX."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.leaderboard import HEADLINE_FAR, RATES, headline_far, long_table, method_names, wide_table
from facecloak.io import write_bytes

HEADS = dict(zip(RATES, ("average", "(clean)", "dodging", "(clean)"), strict=True))


class Column(NamedTuple):
    """A column of a table of people: what stands in each line, and what of it is better.

    Attributes:
        numbers: what the texts say, NaN where that is no number.
        better: 1 if higher is better, -1 if lower is, 0 if it is not to be ranked by.
    """

    head: str
    texts: list[str]
    numbers: pd.Series
    better: int = 0


def columns(wide: pd.DataFrame, detailed: bool = False) -> list[Column]:
    """The columns of one suite and objective.

    Args:
        wide: lines of `wide_table`.
        detailed: with the intervals, and with how many cells there are where a number is missing for want of cells.
    """
    found = [Column("method", method_names(wide), pd.Series(float("nan"), wide.index))]
    for box in (column.removeprefix("psr ") for column in wide if column.startswith("psr ")):
        if wide[f"n_cells {box}"].notna().any():
            names = (f"psr {box}", f"psr_low {box}", f"psr_high {box}")
            have = wide[f"n_cells {box}"]
            found.append(_rate(box, wide, names, have, wide["n_targets"], 1, detailed))
    for rate, head in HEADS.items():
        names = (f"average {rate}", f"average {rate}_low", f"average {rate}_high")
        better = 0 if rate.endswith("clean") else 1
        wanted = wide["n_targets"] * wide["n_boxes"]
        found.append(_rate(head, wide, names, wide["n_cells"], wanted, better, detailed))
    touched = ~(wide["psnr"].isna() & (wide["n_identical"].fillna(0) > 0))  # none is no rival in quality or cost
    psnr = [_digits(value, 1) if changed else "identical" for value, changed in zip(wide["psnr"], touched, strict=True)]
    found.append(Column("PSNR dB", psnr, wide["psnr"], 1))
    for head, name, digits, better in (
        ("SSIM", "ssim", 3, 1), (*_distance(wide), 2, -1), ("no face", "n_undetected", 0, 0),
        ("failed", "n_failed", 0, 0), ("s/image", "seconds_per_image", 2, 0),  # seconds of several machines are no race
    ):  # fmt: skip
        texts = [_digits(value, digits) for value in wide[name]]
        found.append(Column(head, texts, wide[name].where(touched), better))
    return found


def _rate(
    head: str, wide: pd.DataFrame, names: tuple[str, str, str], have: pd.Series, wanted: pd.Series, better: int,
    detailed: bool,
) -> Column:  # fmt: skip
    """A rate in per cent, with its interval; published ones with both of their digits."""
    texts = []
    for index, line in wide.iterrows():
        text = _digits(line[names[0]], 2 if line["source"] == "reported" else 1)
        present = 0 if pd.isna(have[index]) else have[index]
        if detailed and present < wanted[index]:
            text = f"– ({present} of {wanted[index]})"
        elif detailed and pd.notna(line.get(names[1])):
            text += f" ({line[names[1]]:.0f}–{line[names[2]]:.0f})"
        texts.append(text)
    return Column(head, texts, wide[names[0]], better)


def _distance(wide: pd.DataFrame) -> tuple[str, str]:
    """Head and name of the Fréchet distance: FID only if it is FID."""
    networks = set(wide["fd_network"]) - {""}
    if wide["fid"].notna().any():
        return "FID", "fid"
    return f"fd_{networks.pop()}" if len(networks) == 1 else "fd", "fd"


def title(table: pd.DataFrame) -> str:
    """What rows of one suite and objective show."""
    first, number = table.iloc[0], f", n = {table['n_images'].max()} a cell" if "n_images" in table else ""
    return f"{first['suite']}, {first['objective']}: PSR in % at FAR {headline_far(table['far']):g}{number}"


def lines_of(found: list[Column]) -> tuple[list[str], list[list[str]]]:
    """Heads, and the texts line by line."""
    return [column.head for column in found], [[*line] for line in zip(*(c.texts for c in found), strict=True)]


def write_leaderboard(out: Path, folders: list[Path]) -> None:
    """Write these cells below ``out``: ``leaderboard.csv`` (long), ``leaderboard_wide.csv`` and ``leaderboard.md``."""
    table = long_table(folders)
    pages = [
        f"{title(part)}\n\n{markdown_table(*lines_of(columns(wide_table(part))))}"
        for _, part in table.groupby(["suite", "objective"], sort=True)
    ]
    write_bytes(out / "leaderboard.csv", table.to_csv(index=False).encode())
    write_bytes(out / "leaderboard_wide.csv", wide_csv(wide_table(table)))
    write_bytes(out / "leaderboard.md", "\n".join(pages).encode())


def wide_csv(wide: pd.DataFrame) -> bytes:
    """Equal images have no finite PSNR: it says so in a word."""
    identical = wide["psnr"].isna() & (wide["n_identical"].fillna(0) > 0)
    return wide.assign(psnr=wide["psnr"].astype(object).mask(identical, "identical")).to_csv(index=False).encode()


def print_leaderboard(table: pd.DataFrame) -> None:
    """The wide table of a run, for people."""
    (first, *others), lines = lines_of(columns(wide_table(table)))
    view = Table(title=title(table), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    view.add_column(first, no_wrap=True)
    for head in others:
        view.add_column(head, justify="right", overflow="fold")
    for line in lines:
        view.add_row(*line)
    wide_console().print(view)


def summary(rows: list[dict[str, Any]]) -> str:
    """A cell in one line, at the headline FAR or, without it, the first."""
    row = next((row for row in rows if row["far"] == HEADLINE_FAR), rows[0])
    rates = {name: "–" if row[name] is None else f"{100 * row[name]:.0f} %" for name in RATES}
    quality = "identical" if row.get("psnr") is None else f"{row['psnr']:.1f} dB"
    seconds = f", {row['seconds_per_image']:.1f} s an image" if row.get("seconds_per_image") else ""
    psr = f"PSR {rates['psr']} (clean {rates['psr_clean']})"
    return (
        f"{psr}, dodging {rates['dodging']} (clean {rates['dodging_clean']}) at FAR {row['far']:g}, {quality}{seconds}"
    )


def markdown_table(heads: list[str], lines: list[list[str]]) -> str:
    """A table in GitHub's Markdown, the first column to the left and the others to the right."""
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def wide_console() -> Console:
    """The terminal, or a page of 160 columns where the output goes to a file: rich would cut it at 80."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _digits(value: float, digits: int) -> str:
    return "–" if pd.isna(value) else f"{value:.{digits}f}"
