"""A protection: everything that its pictures depend on, and nothing else; its judges are not part of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.harness.needs import used
from benchmarks.results.store import protections_folder
from benchmarks.suites.suite import Suite, Target
from facecloak.config import settings_hash
from facecloak.io import file_name, sha256, sha256_json

LAYOUT = 2  # increase it when the files of a protection change, or the things that its images depend on
MASKS = 2  # the same for masks that are learned from albums; those of 1 could be kept from another judge's surrogates


@dataclass(frozen=True)
class Protection:
    """Suite × method with its settings × objective × target × surrogates.

    Attributes:
        surrogates: names of the recognizers that are attacked, in the suite's order.
        weights: surrogate → SHA-256.
        method_weights: SHA-256 of other models that the method loads (its diffusion model), or None.
        other_targets: targets that the method may attack instead; its success is still judged by ``target``.
        albums: source → SHA-256 of each photo of its album, if the method learns from them; else None.
    """

    suite: Suite
    method: str
    preset: str
    settings: Any
    objective: str
    target: Target
    surrogates: tuple[str, ...]
    weights: dict[str, str | None]
    method_weights: str | None = None
    other_targets: tuple[Target, ...] = ()
    albums: dict[str, list[str]] | None = None

    @cached_property
    def key(self) -> str:
        """Hash of `key_of`."""
        return sha256_json(self.key_of)

    @cached_property
    def key_of(self) -> dict[str, Any]:
        """Everything that the images depend on, except for the source photos, whose hashes are in the outcomes."""
        target = sha256(self.target.image) if self.surrogates else None
        others = [[other.name, sha256(other.image), other.box] for other in self.other_targets]
        return {
            "layout": LAYOUT,
            "suite": [self.suite.name, self.suite.image_size, self.suite.crop],
            "method": [self.method, dataclasses.asdict(self.settings), self.method_weights],
            "objective": self.objective,
            "target": [self.target.name, target, self.target.box, *others],
            "surrogates": [[name, self.weights[name]] for name in self.surrogates],
            **({} if self.albums is None else {"albums": sha256_json(self.albums), "masks": MASKS}),
        }

    @property
    def title(self) -> str:
        """A title for users: method, target, surrogates."""
        attacked = f", attacks {'+'.join(self.surrogates)}" if self.surrogates else ""
        return f"{self.method}:{self.preset}, target {self.target.name}{attacked}"

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{file_name(self.method)}_{file_name(self.target.name)}_{self.key[:12]}"

    def folder(self, run: Path) -> Path:
        """Its path in a run's folder."""
        return protections_folder(run) / self.name

    def about(self) -> dict[str, Any]:
        """The content of protection.json, which is enough to judge the pictures without the method."""
        return {
            "key": self.key,
            "key_of": self.key_of,
            "suite": self.suite.name,
            "dataset": self.suite.dataset,
            "image_size": self.suite.image_size,
            "method": self.method,
            "preset": self.preset,
            "settings": dataclasses.asdict(self.settings),
            "settings_hash": settings_hash(self.settings),
            "seed": getattr(self.settings, "seed", None),
            "objective": self.objective,
            "target": self.target.name,
            "surrogates": [*self.surrogates],
            "weights": {name: self.weights[name] for name in self.surrogates},
            "used": self._used,
            **({} if self.albums is None else {"albums": self.albums}),
        }

    @cached_property
    def _used(self) -> list[dict[str, Any]]:
        return used(self.suite, self.surrogates, self.settings)
