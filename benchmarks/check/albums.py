"""Whether the albums that a protection was learned from are apart from what it protects. Each rule yields a problem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.check.images import Pictures
from benchmarks.suites.spec import SMALLEST_ALBUM
from facecloak.io import sha256_json


def album_problems(about: dict[str, Any], pictures: Pictures) -> Iterator[str]:
    """Whether albums agree with the protection's key and pictures, and hold no photo that is protected."""
    albums = about.get("albums")
    wanted = None if albums is None else sha256_json(albums)
    if (found := about["key_of"].get("albums")) != wanted:
        yield f"protection.json: the albums have the hash {wanted}, but its key_of says {found!r:.80}"
    if albums is None:
        return
    owners = {photo: name for name, photos in albums.items() for photo in photos}
    for name, outcome in pictures.outcomes.items():
        if outcome.get("source_sha256") in owners:
            yield f"{name} is protected, but it is a photo of the album of {owners[outcome['source_sha256']]}"
    for name in pictures.made:
        used, has = pictures.outcomes[name].get("album_photos"), len(albums.get(name, ()))
        if type(used) is not int or not SMALLEST_ALBUM <= used <= has:
            wanted = f"{SMALLEST_ALBUM} to {has}, the size of its album"
            yield f"outcomes/{name}.json: album_photos is {used!r:.80}, but must be {wanted}"
