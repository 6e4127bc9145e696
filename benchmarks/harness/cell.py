"""A cell: suite × method with its settings × target × black box; its directory, and what is done in it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.suites.suite import Suite, Target
from facecloak.errors import FacecloakError
from facecloak.io import sha256, sha256_json

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
