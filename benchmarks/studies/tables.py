"""The tables of numbers in the documents, made from the CSV files in ``benchmarks/studies/results``.

    python -m benchmarks.studies.tables

writes each table again between the two marks around it. A CSV is either ``leaderboard_wide.csv`` of a run, copied, or
the cells of a table as they are shown. A test compares the documents with the files.

    <!-- table: pocket.csv; columns: method, average = average PSR %; rows: facecloak, pgd -->
    …
    <!-- end of table -->
"""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import pandas as pd

from benchmarks.leaderboard.text import columns, lines_of
from facecloak.errors import FacecloakError
from facecloak.io import write_bytes

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
BLOCK = re.compile(r"(<!-- table: ([^>]*?) -->\n)(.*?)(<!-- end of table -->)", flags=re.S)


def documents() -> list[Path]:
    """The Markdown files of the repository."""
    folders = ("facecloak", "baselines", "benchmarks", "sweeps")
    return [*ROOT.glob("*.md"), *(path for folder in folders for path in sorted((ROOT / folder).rglob("*.md")))]


def with_tables(text: str) -> str:
    """A document's text with every marked table as its CSV file says."""
    return BLOCK.sub(lambda found: found[1] + render(found[2]) + found[4], text)


def render(mark: str) -> str:
    """The Markdown of a table.

    Args:
        mark: ``FILE; columns: HEAD, HEAD = OTHER HEAD; rows: NAME, NAME``, the last two optional; a row's name is what
            its first cell says.

    Raises:
        FacecloakError: there is no such file, column or row.
    """
    name, *parts = (part.strip() for part in mark.split(";"))
    wanted = {key.strip(): _list(values) for key, _, values in (part.partition(":") for part in parts)}
    heads, lines = read_table(RESULTS / name)
    if "rows" in wanted:
        by_name = {line[0]: line for line in lines}
        lines = [_pick(by_name, row, f"{name}: row") for row in wanted["rows"]]
    if "columns" in wanted:
        pairs = [column.split(" = ") for column in wanted["columns"]]
        places = [
            _pick({head: place for place, head in enumerate(heads)}, pair[0], f"{name}: column") for pair in pairs
        ]
        heads, lines = [pair[-1] for pair in pairs], [[line[place] for place in places] for line in lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in [heads, ["---"] * len(heads), *lines])


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of a CSV, those of a run's wide table as the run prints them, the best average first.

    The preset ``default`` is not named.
    """
    if not path.is_file():
        raise FacecloakError(f"{path}: no such file.")
    with open(path, newline="") as file:
        heads, *lines = csv.reader(file)
    if "n_boxes" not in heads:
        return heads, lines
    wide = pd.read_csv(path).sort_values("average psr", ascending=False, kind="stable", ignore_index=True)
    heads, lines = lines_of(columns(wide.assign(psnr=wide["psnr"].replace("identical", math.inf).astype(float))))
    return heads, [[name.removesuffix(":default"), *line] for name, *line in lines]


def _list(values: str) -> list[str]:
    return [value.strip() for value in values.split(",")]


def _pick(known: dict, name: str, kind: str):
    if name not in known:
        raise FacecloakError(f"{kind} {name!r} is not there; there are {', '.join(known)}.")
    return known[name]


def main() -> None:
    """Write the tables of all documents again."""
    for path in documents():
        text = path.read_text()
        if (made := with_tables(text)) != text:
            write_bytes(path, made.encode())
            print(f"{path.relative_to(ROOT)}: tables written")


if __name__ == "__main__":
    main()
