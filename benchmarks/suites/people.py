"""Photos in a folder with a folder for each person, as in LFW."""

from __future__ import annotations

from pathlib import Path

from facecloak.data import images_in, is_clutter
from facecloak.errors import FacecloakError


def people_in(folder: Path) -> dict[str, tuple[Path, Path]]:
    """The first two photos of each sub-folder that has two, sorted; folders that programs make for themselves do not
    count.

    Raises:
        FacecloakError: the folder is missing, or nobody has two photos.
    """
    if not folder.is_dir():
        raise FacecloakError(f"{folder}: no such folder.")
    people = [person for person in sorted(folder.iterdir()) if person.is_dir() and not is_clutter(person.name)]
    photos = {person.name: images_in(person) for person in people}
    found = {person: (paths[0], paths[1]) for person, paths in photos.items() if len(paths) > 1}
    if not found:
        raise FacecloakError(f"{folder}: no person has two photos. It must have a folder for each person.")
    return found
