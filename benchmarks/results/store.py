"""A cell: suite × method with its settings × target × black box; its directory, and what is done in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from facecloak.errors import FacecloakError
from facecloak.io import read_json, sha256, write_bytes, write_json


def write_outcome(folder: Path, name: str, png: bytes | None, outcome: dict[str, Any]) -> None:
    """Store one image's result: the picture first, then the file that says it is finished."""
    picture = folder / "images" / f"{name}.png"
    if png is None:
        picture.unlink(missing_ok=True)
    else:
        write_bytes(picture, png)
        outcome["png_sha256"] = hashlib.sha256(png).hexdigest()
    write_json(folder / "outcomes" / f"{name}.json", outcome)


def read_outcomes(folder: Path, sources: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The finished images of a cell by name; one whose picture or source has changed counts as unfinished.

    Args:
        sources: name → SHA-256 of the photo as it is now.
    """
    outcomes = {}
    for path in sorted((folder / "outcomes").glob("*.json")):
        outcome, png = read_json(path), folder / "images" / f"{path.stem}.png"
        made = outcome["error"] or (png.is_file() and sha256(png) == outcome["png_sha256"])
        if made and outcome["source_sha256"] == sources.get(path.stem):
            outcomes[path.stem] = outcome
    return outcomes


def start_over(folder: Path) -> None:
    """Make a cell count as not begun: no result, and no image that is finished."""
    for path in [folder / "cell.json", *(folder / "outcomes").glob("*.json")]:
        path.unlink(missing_ok=True)


def forget(folder: Path, names: list[str]) -> None:
    """Remove the results of sources that can no longer be used."""
    for name in names:
        (folder / "images" / f"{name}.png").unlink(missing_ok=True)
        (folder / "outcomes" / f"{name}.json").unlink(missing_ok=True)


def write_result(folder: Path, rows: list[dict], records: list[dict], provenance: dict[str, Any]) -> None:
    """Store a judged cell: records.jsonl, then cell.json, whose presence says that the cell is complete."""
    lines = "".join(json.dumps(record, sort_keys=True) + "\n" for record in records)
    write_bytes(folder / "records.jsonl", lines.encode())
    write_json(folder / "cell.json", {"rows": rows, "provenance": provenance})


def read_result(folder: Path) -> dict[str, Any] | None:
    """The content of cell.json, or None while the cell is not complete.

    Raises:
        FacecloakError: it is there and holds no result.
    """
    path = folder / "cell.json"
    if not path.exists():
        return None
    result = read_json(path)
    if not isinstance(result, dict):
        raise FacecloakError(f"{path} holds no rows. Delete it and run the benchmark again, or leave its folder out.")
    return result


def find_cells(runs: list[Path]) -> list[Path]:
    """The folders of all cells, complete or not, sorted; each once, however often its run is named.

    Args:
        runs: folders that hold ``cells``, or folders of such folders at any depth; links below them are not followed.

    Raises:
        FacecloakError: no such folder, or one without a cell.
    """
    found = {}
    for run in runs:
        if not run.is_dir():
            raise FacecloakError(f"{run}: no such folder. Give the --out of a benchmark, or a folder of such folders.")
        cells = _cells_below(run)
        if not cells:
            raise FacecloakError(
                f"{run}: no cells below it. Give the --out of a benchmark, or a folder of such folders."
            )
        found |= {cell.resolve(): cell for cell in cells}
    return sorted(found.values(), key=lambda cell: (cell.name, str(cell)))


def _cells_below(folder: Path) -> list[Path]:
    children = sorted(child for child in folder.iterdir() if child.is_dir() and not child.is_symlink())
    if folder / "cells" in children:
        return sorted(child for child in (folder / "cells").iterdir() if child.is_dir() and not child.is_symlink())
    return [cell for child in children for cell in _cells_below(child)]
