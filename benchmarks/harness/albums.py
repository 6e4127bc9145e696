"""The albums of the people whose photos a run protects, read once for all methods that learn from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.suites.albums import read_album
from facecloak.data import Photo
from facecloak.errors import FacecloakError


class Albums:
    """Albums as methods get them.

    Args:
        paths: source → files of its album.
        read: reads a photo, with its face.
        say: is called with a line about photos that cannot be used.

    Attributes:
        errors: source → why its album cannot be used, of those that have been read.
    """

    def __init__(
        self, paths: Mapping[str, Sequence[Path]], read: Callable[[Path], Photo], say: Callable[[str], None]
    ) -> None:
        self.errors: dict[str, str] = {}
        self._paths, self._read, self._say = paths, read, say
        self._usable: dict[str, list[Photo]] = {}

    def usable(self, names: Iterable[str]) -> dict[str, list[Photo]]:
        """The usable photos of these sources' albums; a source whose album cannot be used is left out."""
        names = [*names]
        skipped: list[str] = []
        for name in names:
            if name in self._usable or name in self.errors:
                continue
            try:
                self._usable[name], errors = read_album(self._paths[name], self._read)
                skipped += errors
            except FacecloakError as error:
                self.errors[name] = str(error)
        if skipped:
            self._say(f"left out, since they cannot be used: {len(skipped)} photos of albums; the first: {skipped[0]}")
        return {name: self._usable[name] for name in names if name in self._usable}
