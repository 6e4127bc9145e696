"""The tables of a board as Markdown and LaTeX: measured rows, and apart from them the published ones."""

from __future__ import annotations

import pandas as pd

from benchmarks.leaderboard import BOARD
from benchmarks.reported import BOTH
from benchmarks.tables import Column, columns, lines_of, markdown_table, title

INTERVALS = (
    "In parentheses: 95 % Wilson intervals, with one result a photo, since the recognizers judge the same photos."
)
MISSING = "– (3 of 4): only 3 of 4 cells (target × black box) are there, so that there is no mean."
REPORTED = "Reported, not measured here: numbers of papers, under other crops and surrogates. Do not rank by them."
WHITE = "White box: the judge was attacked itself. Not comparable with black boxes."
SPECIAL = {"\\": r"\textbackslash{}", "–": "--", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
           "×": r"$\times$", "†": r"\textsuperscript{\dag}"}  # fmt: skip
SPECIAL |= {mark: f"\\{mark}" for mark in "_%&#${}"}


def markdown(measured: pd.DataFrame, wide: pd.DataFrame, published: pd.DataFrame) -> str:
    """A section for each suite, objective and kind of box, then those of the published numbers.

    Measured lines are sorted by average PSR, the highest first, those without one last.

    Args:
        measured: a long table.
        wide: `wide_table` of measured and published rows.
        published: `read_reported`'s.
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
    return "\n".join(sections)


def latex(measured: pd.DataFrame, wide: pd.DataFrame, published: pd.DataFrame) -> str:
    r"""A ``table*`` for each suite, objective and kind of box; needs ``booktabs``.

    The best of a column is bold. Published numbers stand below a ``\midrule``, each with a dagger, and are never bold.
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
    """The texts for LaTeX, the best one bold; ties, seen with the digits that are shown, are all bold."""
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
    """All columns, with a dagger behind the methods whose numbers are published ones."""
    names, *others = columns(wide, detailed=True)
    daggers = ["†" if source == "reported" else "" for source in wide["source"]]
    return [names._replace(texts=[a + b for a, b in zip(names.texts, daggers, strict=True)]), *others]


def _lines(wide: pd.DataFrame, kind: tuple[str, str, bool], source: str) -> pd.DataFrame:
    lines = wide[(wide[BOARD] == kind).all(axis=1) & (wide["source"] == source)].reset_index(drop=True)
    if source == "reported":  # under other crops and surrogates each, so that there is no order
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
    """Text as LaTeX shows it."""
    return "".join(SPECIAL.get(mark, mark) for mark in text)
