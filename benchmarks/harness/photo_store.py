"""The results of `facecloak protect` in a folder, recognized by content and never overwritten by other results."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.harness.folders import result_names
from facecloak.errors import FacecloakError
from facecloak.io import printable, read_json, sha256, write_bytes, write_json


@dataclass(frozen=True)
class Place:
    """A photo, its SHA-256 (None if it cannot be read), and where its result goes."""

    photo: Path
    source_sha256: str | None
    result: Path


class PhotoStore:
    """The results in a folder, and ``protect.json`` with the hashes of each result's photo, settings and content.

    The hashes are not in the results themselves: these are made to be published, and a mark would reveal them.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.file = out, out / "protect.json"
        self.outcomes = _read_outcomes(self.file)

    def assign(self, photos: Sequence[tuple[Path, Path]], suffix: str) -> list[Place]:
        """Where the result of each photo goes; another photo's result is never overwritten.

        Args:
            photos: files, and the folders below ``out`` that their results go to.
            suffix: of the results' names.

        Raises:
            FacecloakError: a file that is not a result would be overwritten.
        """
        taken: set[str] = set()
        return [self._place(photo, folder, suffix, taken) for photo, folder in photos]

    def _place(self, photo: Path, folder: Path, suffix: str, taken: set[str]) -> Place:
        source = _sha256_or_none(photo)
        for name in result_names(photo, suffix):
            result = self.out / folder / name
            own = self.outcome(result)
            if str(result).casefold() in taken or (own and source and own["source_sha256"] != source):
                continue
            if result.exists() and not own:
                raise FacecloakError(
                    f"{printable(result)} would be overwritten, but is not a result of {printable(photo)}; "
                    "choose another --out."
                )
            taken.add(str(result).casefold())
            return Place(photo, source, result)
        raise AssertionError("names do not end")

    def outcome(self, result: Path) -> dict[str, Any] | None:
        """What is recorded of a file; None if the file is not a result or has changed."""
        outcome = self.outcomes.get(self.name(result))
        same = outcome and not outcome["error"] and _sha256_or_none(result) == outcome["result_sha256"]
        return outcome if same else None

    def is_result(self, photo: Path) -> bool:
        """Whether a file is a result in this folder."""
        inside = os.path.relpath(photo, self.out)
        return not inside.startswith(os.pardir) and self.outcome(self.out / inside) is not None

    def save(self, place: Place, outcome: dict[str, Any], file: bytes | None) -> None:
        """Record an outcome, then write its picture: in this order a killed process leaves no unrecorded file."""
        if self.outcome(place.result):
            place.result.unlink()
        self.outcomes.pop(printable(place.photo), None)
        self.outcomes.pop(self.name(place.result), None)
        self._record(self.name(place.result) if file else printable(place.photo), outcome)
        if file:
            write_bytes(place.result, file)

    def update(self, place: Place, outcome: dict[str, Any]) -> None:
        """Record more about a result, which stays as it is."""
        self._record(self.name(place.result), outcome)

    def _record(self, name: str, outcome: dict[str, Any]) -> None:
        self.outcomes[name] = outcome
        write_json(self.file, {"photos": [*self.outcomes.values()]})

    def links(self, place: Place) -> dict[str, str]:
        """Where photo and result are, seen from the folder, as parts of an URL: exact for any name."""
        paths = {"original": _seen_from(self.out, place.photo), "result": place.result.relative_to(self.out)}
        return {name: quote(os.fsencode(path.as_posix())) for name, path in paths.items()}

    def name(self, result: Path) -> str:
        return printable(result.relative_to(self.out).as_posix())


def _read_outcomes(file: Path) -> dict[str, dict[str, Any]]:
    """The recorded outcomes by result, or by photo if there is no result."""
    if not file.exists():
        return {}
    try:
        outcomes = read_json(file)["photos"]
        _ = [outcome["links"] for outcome in outcomes]  # earlier versions have none
        return {outcome["photo"] if outcome["error"] else outcome["result"]: outcome for outcome in outcomes}
    except (KeyError, TypeError):
        raise FacecloakError(
            f"{printable(file)} was not made by this version of `facecloak protect`; choose another --out."
        ) from None


def _seen_from(folder: Path, path: Path) -> Path:
    try:
        return Path(os.path.relpath(path, folder))
    except ValueError:  # on another drive of Windows
        return path.absolute()


def _sha256_or_none(path: Path) -> str | None:
    try:
        return sha256(path)
    except OSError:
        return None
