"""A cell: suite × method with its settings × target × black box; its directory, and what is done in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.suite import Suite, Target
from facecloak.errors import FacecloakError
from facecloak.io import read_json, sha256, sha256_json, write_bytes, write_json

LAYOUT = 1  # raise it when the files of a cell, or what its images depend on, change


@dataclass(frozen=True)
class Cell:
    """One directory of results.

    Attributes:
        weights: recognizer name → SHA-256, of the surrogates and the black box.
        method_weights: SHA-256 of what else the method loads (its diffusion model), or None.
        other_targets: what the method may attack instead of the target, which judges all the same.
        white_box: the evaluator is one of the surrogates, because somebody asked for that by name.
    """

    suite: Suite
    method: str
    preset: str
    settings: Any
    objective: str
    target: Target
    black_box: str
    surrogates: tuple[str, ...]
    weights: dict[str, str | None]
    method_weights: str | None = None
    other_targets: tuple[Target, ...] = ()
    white_box: bool = False

    def __post_init__(self) -> None:
        judge = self.weights[self.black_box]
        twins = [name for name in self.surrogates if name == self.black_box or self.weights[name] == judge]
        if twins and not self.white_box:
            raise FacecloakError(
                f"Suite {self.suite.name}: the black box {self.black_box} is among the surrogates, as {twins[0]} "
                f"({', '.join(self.surrogates)}), so the method would be judged by what it attacked. Take it out "
                f"of the surrogates, or ask for a white-box cell by name: --white-box {self.black_box}."
            )

    @cached_property
    def key(self) -> str:
        """Hash of `key_of`."""
        return sha256_json(self.key_of)

    @cached_property
    def key_of(self) -> dict[str, Any]:
        """What tells this cell from others, and all that its images depend on, the sources aside."""
        target = sha256(self.target.image) if self.surrogates else None
        others = [[other.name, sha256(other.image), other.box] for other in self.other_targets]
        return {
            "layout": LAYOUT,
            "suite": [self.suite.name, self.suite.image_size, self.suite.crop],
            "method": [self.method, dataclasses.asdict(self.settings), self.method_weights],
            "objective": self.objective,
            "target": [self.target.name, target, self.target.box, *others],
            "black_box": [self.black_box, self.white_box],
            "surrogates": [[name, self.weights[name]] for name in self.surrogates],
        }

    @property
    def title(self) -> str:
        """For people: method, target, black box."""
        box = "white box" if self.white_box else "black box"
        return f"{self.method}:{self.preset}, target {self.target.name}, {box} {self.black_box}"

    def folder(self, out: Path) -> Path:
        """Where the cell lies below a run's folder."""
        name = f"{self.method}-{self.preset.rstrip('*')}_{self.target.name}_{self.black_box}_{self.key[:12]}"
        return out / "cells" / name


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
