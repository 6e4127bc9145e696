"""The leaderboard as text: for the terminal, Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.console import markdown_table
from benchmarks.leaderboard.averages import PERCEPTUAL, RATES, wide_table
from benchmarks.leaderboard.curves import curves_markdown, find_curves, with_levels
from benchmarks.leaderboard.reported import BOTH
from benchmarks.leaderboard.survival import survival_markdown, survive
from benchmarks.results.records import read_one
from benchmarks.results.store import read_judgement, run_id
from benchmarks.results.submission import Submission
from benchmarks.results.table import BOARD, TASK, method_names, tabulate, without_adversaries
from facecloak.io import to_csv, write_bytes

HEADS = dict(zip(RATES, ("average PSR", "PSR clean", "dodging", "dodging clean"), strict=True))


class Column(NamedTuple):
    """A column of a table for people: its text in each line, and which values are better.

    Attributes:
        numbers: the values of the texts, NaN where a text is not a number.
        better: 1 if higher is better, -1 if lower is better, 0 if lines are not ranked by it.
    """

    head: str
    texts: list[str]
    numbers: pd.Series
    better: int = 0


def columns(wide: pd.DataFrame, detailed: bool = False) -> list[Column]:
    """The columns of one suite and objective; perceptual distances only if some line has one.

    Args:
        wide: lines of `wide_table`.
        detailed: with the intervals, and with the number of cells where a mean is missing because cells are missing.
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
    touched = wide["psnr"] != math.inf  # unchanged images do not compete in quality or cost
    distance = _distance_head(wide)
    perceptual = [
        (head, wide[column], 3, -1)
        for column, head in PERCEPTUAL.items()
        if column in wide and wide[column].notna().any()  # tables of earlier versions lack a column
    ]
    for head, values, digits, better in (
        ("PSNR dB", wide["psnr"], 1, 1), ("SSIM", wide["ssim"], 3, 1), *perceptual,
        (distance, wide["distance"].where(wide["distance_name"] == distance), 2, -1),
        ("no face", wide["n_undetected"], 0, 0), ("failed", wide["n_failed"], 0, 0),
        ("s/image", wide["seconds_per_image"], 2, 0),  # seconds of several machines cannot be ranked
    ):  # fmt: skip
        found.append(Column(head, [_digits(value, digits) for value in values], values.where(touched), better))
    return found


def _rate(
    head: str, wide: pd.DataFrame, names: tuple[str, str, str], have: pd.Series, wanted: pd.Series, better: int,
    detailed: bool,
) -> Column:  # fmt: skip
    """A rate in per cent, with its interval; published rates with two digits, as published."""
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


def _distance_head(wide: pd.DataFrame) -> str:
    """The distance of the measured lines, if one of them has a distance; published lines then show no other."""
    known = wide[wide["distance"].notna()].sort_values("source", kind="stable")
    return [*known["distance_name"], *wide["distance_name"]][0]


def title(table: pd.DataFrame, far: float) -> str:
    """The title of a table of one suite and objective at a FAR."""
    first = table.iloc[0]
    number = f", n = {table['n_images'].max()} for each target and recognizer" if "n_images" in table else ""
    return f"{first['suite']}, {first['objective']}: PSR in % at FAR {far:g}{number}"


def lines_of(found: list[Column]) -> tuple[list[str], list[list[str]]]:
    """Heads, and the texts line by line."""
    return [column.head for column in found], [[*line] for line in zip(*(c.texts for c in found), strict=True)]


def write_leaderboard(out: Path, folders: list[Path]) -> None:
    """Write these cells below ``out``: ``leaderboard.csv`` (long), ``leaderboard_wide.csv`` and ``leaderboard.md``.

    There are no intervals of rates, because they need the records of every image and a run writes its tables many
    times. Only a run in which a method has several strengths has its records read, to compare methods at equal quality.
    """
    judgements = [judgement for folder in folders if (judgement := read_judgement(folder))]
    table = tabulate(judgements)
    plain = without_adversaries(table)
    by_id = {run_id(judgement.folder): judgement for judgement in judgements}
    curves = find_curves(plain, by_id, lambda name: read_one(by_id[name].folder))
    pages, parts = [], [part for _, part in plain.groupby(TASK, sort=True)]
    wide = pd.DataFrame()  # nobody has judged pictures as they are
    for part in parts:
        wide = wide_table(part)
        pages.append(f"{title(part, wide['far'].iloc[0])}\n\n{markdown_table(*lines_of(columns(wide)))}")
    write_bytes(out / "leaderboard.csv", to_csv(table))
    write_bytes(
        out / "leaderboard_wide.csv", wide_csv(with_levels(wide if len(parts) < 2 else wide_table(plain), curves))
    )
    text = "\n".join(pages) + curves_markdown(curves) + survival_markdown(survive(table))
    write_bytes(out / "leaderboard.md", text.encode())


def wide_csv(wide: pd.DataFrame) -> bytes:
    """Equal images have no finite PSNR: the table says "identical"."""
    return to_csv(wide.replace({"psnr": {math.inf: "identical"}}) if len(wide) else wide)


def terminal_table(table: pd.DataFrame) -> Table:
    """The wide table of a run, for people; without intervals, as in `write_leaderboard`."""
    table = without_adversaries(table)
    if table.empty:
        return Table(title="No recognizer has judged pictures as they are.")
    wide = wide_table(table).sort_values("average psr", ascending=False, kind="stable", ignore_index=True)
    (first, *others), lines = lines_of(columns(wide))
    view = Table(title=title(table, wide["far"].iloc[0]), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    view.add_column(first, no_wrap=True)
    for head in others:
        view.add_column(head, justify="right", overflow="fold")
    for line in lines:
        view.add_row(*line)
    return view


def _digits(value: float, digits: int) -> str:
    if pd.isna(value):
        return "–"
    return "identical" if value == math.inf else f"{value:.{digits}f}"


INTERVALS = (
    "In parentheses: 95 % Wilson intervals, with one result per photo, since the recognizers judge the same photos."
)
MISSING = "– (3 of 4): only 3 of 4 cells (target × black box) are there, so there is no mean."
REPORTED = "Reported, not measured here: numbers from papers, with other crops and surrogates. Do not rank by them."
WHITE = "White box: the judge itself was attacked. Not comparable with black boxes."
SPECIAL = {"\\": r"\textbackslash{}", "–": "--", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
           "×": r"$\times$", "†": r"\textsuperscript{\dag}"}  # fmt: skip
SPECIAL |= {mark: f"\\{mark}" for mark in "_%&#${}"}


def markdown(
    measured: pd.DataFrame, wide: pd.DataFrame, published: pd.DataFrame, submissions: Sequence[Submission] = ()
) -> str:
    """A section for each suite, objective and kind of box, then the sections of the published numbers and
    of the submissions.

    Measured lines are sorted by average PSR, the highest first; lines without an average come last.

    Args:
        measured: a long table.
        wide: `wide_table` of measured and published rows.
        published: `read_reported`'s.
        submissions: of the runs that were submitted.
    """
    sections = ["# Leaderboard\n"]
    for kind, part in measured.groupby(BOARD, sort=True):
        lines = _lines(wide, kind, "measured")
        head = f"## {title(part, lines['far'].iloc[0])}{', white box' if kind[2] else ''}\n"
        notes = _notes(part, lines) + ([WHITE] if kind[2] else [])
        sections += [head, markdown_table(*lines_of(_columns(lines))), " ".join(notes) + "\n"]
    for kind, part in published.groupby(BOARD, sort=True):
        head = f"## {kind[0]}, {kind[1]}: reported, not measured here\n"
        found = [column for column in _columns(_lines(wide, kind, "reported")) if {*column.texts} != {"–"}]
        notes = [REPORTED, *_papers(part)]
        sections += [head, markdown_table(*lines_of(found)), "\n".join(f"- {note}" for note in notes) + "\n"]
    if submissions:
        heads, lines = [*asdict(submissions[0])], [[_plainly(value) for value in astuple(each)] for each in submissions]
        sections += ["## Submissions, as their authors describe them\n", markdown_table(heads, lines)]
    return "\n".join(sections)


def _plainly(value: str | bool) -> str:
    return value.replace("|", r"\|") if isinstance(value, str) else ("yes" if value else "no")


def latex(measured: pd.DataFrame, wide: pd.DataFrame, published: pd.DataFrame) -> str:
    r"""A ``table*`` for each suite, objective and kind of box; needs ``booktabs``.

    The best value of a column is bold. Published numbers are below a ``\midrule``, each with a dagger, and never bold.
    """
    tables = ["% needs \\usepackage{booktabs} and \\usepackage[utf8]{inputenc}\n"]
    kinds = sorted({*measured[BOARD].itertuples(index=False, name=None)}
                   | {*published[BOARD].itertuples(index=False, name=None)})  # fmt: skip
    for kind in kinds:
        own, others = (table[(table[BOARD] == kind).all(axis=1)] for table in (measured, published))
        lines = pd.concat([_lines(wide, kind, "measured"), _lines(wide, kind, "reported")], ignore_index=True)
        notes = _notes(own, lines[lines["source"] == "measured"]) if len(own) else []
        notes += [WHITE] if kind[2] else []
        notes += [f"† {REPORTED}", *_papers(others)] if len(others) else []
        head = title(own if len(own) else others, lines["far"].iloc[0])
        tables.append(_tabular(lines, f"{head}{', white box' if kind[2] else ''}. {' '.join(notes)}"))
    return "\n".join(tables)


def _tabular(wide: pd.DataFrame, caption: str) -> str:
    is_measured = wide["source"] == "measured"
    found = [column for column in _columns(wide) if is_measured.any() or {*column.texts} != {"–"}]
    heads, rows = lines_of([column._replace(texts=_bold(column, is_measured)) for column in found])
    body = [rows[: is_measured.sum()], rows[is_measured.sum() :]]
    blocks = ["".join(" & ".join(row) + " \\\\\n" for row in part) for part in body if part]
    return "".join([
        f"\\begin{{table*}}\n\\caption{{{escape(caption)}}}\n\\footnotesize\\setlength{{\\tabcolsep}}{{3pt}}\n",
        f"\\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}\n\\toprule\n",
        " & ".join(map(escape, heads)) + " \\\\\n\\midrule\n",
        "\\midrule\n".join(blocks),
        "\\bottomrule\n\\end{tabular}\n\\end{table*}\n",
    ])  # fmt: skip


def _bold(column: Column, ranked: pd.Series) -> list[str]:
    """The texts for LaTeX, the best one bold; values that are equal in the digits shown are all bold."""
    texts = [escape(text) for text in column.texts]
    numbers = column.better * pd.to_numeric(column.numbers).where(ranked)
    if not column.better or numbers.count() < 2:
        return texts
    best = column.texts[numbers.idxmax()].split(" (")[0]
    return [
        f"\\textbf{{{text}}}" if pd.notna(numbers[place]) and plain.split(" (")[0] == best else text
        for place, (text, plain) in enumerate(zip(texts, column.texts, strict=True))
    ]


def _columns(wide: pd.DataFrame) -> list[Column]:
    """All columns, with a dagger behind the names of methods with published numbers."""
    names, *others = columns(wide, detailed=True)
    daggers = ["†" if source == "reported" else "" for source in wide["source"]]
    return [names._replace(texts=[a + b for a, b in zip(names.texts, daggers, strict=True)]), *others]


def _lines(wide: pd.DataFrame, kind: tuple[str, str, bool], source: str) -> pd.DataFrame:
    lines = wide[(wide[BOARD] == kind).all(axis=1) & (wide["source"] == source)].reset_index(drop=True)
    if source == "reported":  # each with other crops and surrogates, so there is no order
        return lines
    return lines.sort_values("average psr", ascending=False, kind="stable", ignore_index=True)


def _notes(part: pd.DataFrame, lines: pd.DataFrame) -> list[str]:
    missing = (lines["n_cells"] < lines["n_targets"] * lines["n_boxes"]).any()
    devices = "; ".join(sorted(set(part["device"].dropna())))
    timed = [f"Seconds were measured on: {devices}."] if devices else []
    return [INTERVALS, *([MISSING] if missing else []), *timed]


def _papers(part: pd.DataFrame) -> list[str]:
    lines = part.drop_duplicates(["method", "paper"])
    papers = [f"{row['method']}: {row['paper']}; {BOTH}: {100 * row['psr_both']:.2f} %." for _, row in lines.iterrows()]
    return [*(f"{note[0].upper()}{note[1:]}." for note in part["note"].unique()), *papers]


def escape(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(SPECIAL.get(mark, mark) for mark in text)
