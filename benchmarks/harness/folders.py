"""Folders of users' own photos: which protected photo belongs to which original, and how results are named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from glob import glob, has_magic
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from facecloak.data import is_image, walk_images
from facecloak.errors import FacecloakError
from facecloak.io import file_name, is_photo_name, printable

LONGEST = 255  # bytes that a file name may have


class Pair(NamedTuple):
    """A photo and its protected version by a tool.

    Attributes:
        name: a unique name for results: the original's file name without its ending, with its folders
            (``anna__1`` for anna/1.jpg) if two photos have the same name.
        original: file of the unprotected photo.
        protected: file of the protected photo; None if the tool did not make one.
        other: another photo of the person, or None.
    """

    name: str
    original: Path
    protected: Path | None
    other: Path | None


def pair_folders(
    originals: Path, protected: Path, others: Path | None = None, *, suffix: str | None = None
) -> list[Pair]:
    """Pair the images of folders and their sub-folders by path, without the file's ending.

    One folder may be inside of another, such as photos/protected; its photos do not count as the other's then.
    Protected photos may be named ``NAME_cloaked``: the suffix is found if all of them have the same. They may all be in
    one additional sub-folder, since some tools sort them by what they attacked.

    Args:
        suffix: the text at the end of the protected photos' names that the originals' names do not have.

    Raises:
        FacecloakError: a folder has no image or has one name twice, a protected photo has no original, or none of the
            other photos has an original.
    """
    first = _by_stem(originals, [protected, others])
    made = _match(_by_stem(protected, [originals, others]), first, suffix)
    strangers = [path for name, path in made.items() if name not in first]
    if strangers:
        raise FacecloakError(
            f"{printable(strangers[0])} has no original of the same name in {printable(originals)} "
            f"({len(strangers)} of {len(made)} have none). The names must be equal; if the names of the protected "
            "photos have an additional ending, give it as --suffix."
        )
    second = _by_stem(others, [originals, protected]) if others else {}
    if others and second.keys().isdisjoint(first):
        raise FacecloakError(
            f"None of the {len(second)} photos in {printable(others)} has the same name as an original, such as "
            f"{printable(next(iter(first)))}."
        )
    names = _result_names(first)
    return [Pair(names[name], path, made.get(name), second.get(name)) for name, path in first.items()]


def _result_names(paths: Iterable[str]) -> dict[str, str]:
    """Path below the folder → name of the result."""
    paths = [*paths]
    stems = [path.rpartition("/")[2] for path in paths]
    if len({*stems}) < len(stems):
        stems = [path.replace("/", "__") for path in paths]
    if len({*stems}) < len(stems):  # a/b.png beside a__b.png
        stems = [file_name(path) for path in paths]
    return {path: stem if is_photo_name(stem) else file_name(path) for path, stem in zip(paths, stems, strict=True)}


def _by_stem(folder: Path, beside: Iterable[Path | None]) -> dict[str, Path]:
    """The images of a folder and its sub-folders, by their path below it without the file's ending.

    Args:
        beside: folders whose images are left out, even if they are below this one.

    Raises:
        FacecloakError: there is no image, or two images differ only in their ending.
    """
    found: dict[str, Path] = {}
    for path in walk_images(folder, beside):
        name = path.relative_to(folder).parent.joinpath(path.stem).as_posix()
        if name in found:
            raise FacecloakError(
                f"{printable(folder)}: two images are named {printable(name)!r}, but photos are paired by name."
            )
        found[name] = path
    return found


def _match(made: Mapping[str, Path], originals: Iterable[str], suffix: str | None = None) -> dict[str, Path]:
    """Protected photos by the names of their originals; a photo without an original keeps its own name.

    Args:
        made: protected photos by their names.
        originals: names.
        suffix: the additional ending of the names in ``made``; with None it is searched for.
    """
    known = set(originals)
    for names in (made, _without_folder(made)):
        found = suffix if suffix is not None else _shared_suffix(names, known)
        if found is None:
            continue
        matched = {name.removesuffix(found): path for name, path in names.items() if name.endswith(found)}
        if len(matched) == len(names) and matched.keys() <= known:
            return matched
    return dict(made)


def _shared_suffix(made: Iterable[str], originals: set[str]) -> str | None:
    """The ending that all names have after an original's; never a letter or digit first: `anna2` is not `anna`'s."""
    shared: set[str] | None = None
    for name in made:
        ends = {name[size:] for size in range(1, len(name) + 1) if name[:size] in originals}
        ends = {end for end in ends if not end or (not end[0].isalnum() and "/" not in end)}
        shared = ends if shared is None else shared & ends
    return min(shared, key=len) if shared else None


def _without_folder(made: Mapping[str, Path]) -> Mapping[str, Path]:
    """The names without their first folder, if all are in the same folder."""
    heads = {name.partition("/")[0] if "/" in name else None for name in made}
    if len(heads) != 1 or None in heads:
        return made
    return {name.partition("/")[2]: path for name, path in made.items()}


def find_photos(paths: Iterable[Path], is_result: Callable[[Path], bool]) -> list[tuple[Path, Path]]:
    """The given photos and those of the given folders, each once, with the folder of its result below ``--out``.

    Args:
        paths: files, folders, and patterns such as ``album/*.jpg`` (``**``: folders at any depth).
        is_result: whether a photo in a folder is the result of an earlier command; such photos are left out.

    Raises:
        FacecloakError: a folder has no image, or only results; or nothing matches a pattern.
    """
    found: dict[str, tuple[Path, Path]] = {}
    for path in chain.from_iterable(_matches(path, is_result) for path in paths):
        photos = [(path, Path())]
        if path.is_dir():
            walked = [photo for photo in walk_images(path) if not is_result(photo)]
            photos = [(photo, photo.relative_to(path).parent) for photo in walked]
        for photo, folder in photos:
            found.setdefault(os.path.abspath(photo), (photo, folder))
    if not found:
        raise FacecloakError("There is no photo to protect: all of them are results of `facecloak protect`.")
    return list(found.values())


def _matches(path: Path, is_result: Callable[[Path], bool]) -> list[Path]:
    """The photos and folders that match a pattern which the shell has not expanded; a file's own name comes first."""
    if os.path.lexists(path) or not has_magic(os.fspath(path)):
        return [path]
    matches = [Path(name) for name in sorted(glob(os.path.expanduser(path), recursive=True))]
    photos = [match for match in matches if match.is_dir() or (is_image(match) and not is_result(match))]
    if not photos:
        what = "only results of `facecloak protect` match" if any(map(is_image, matches)) else "no photo matches"
        raise FacecloakError(f"{printable(path)}: {what} this pattern.")
    return photos


def result_names(photo: Path, suffix: str) -> Iterator[str]:
    """Possible names for the result of a photo, the best first: photo.png, photo.avif.png, photo.2.png and so on."""
    names = (f"{photo.stem}{suffix}", f"{photo.name}{suffix}")
    yield from (name for name in names if len(os.fsencode(name)) <= LONGEST)
    yield from (f"{photo.stem[:40]}.{number}{suffix}" for number in count(2))
