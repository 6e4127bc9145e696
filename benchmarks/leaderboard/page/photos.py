"""The page of `facecloak protect`: photos before and after, in one file that needs no other files."""

from __future__ import annotations

import base64
import io
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from PIL import Image

from benchmarks.leaderboard.page.template import fill_page
from facecloak.errors import FacecloakError
from facecloak.io import read_image, read_json, sha256, write_bytes

PAGE = "protect.html"
SCRIPTS = ("values.js", "compare.js", "theme.js", "photos.js")
BUDGET = 100_000_000  # bytes of previews; the photos that were recorded last have them first
SIDE, QUALITY = 1280, 82  # of a preview: pixels of the longer side at most; of JPEG
JPEG = "data:image/jpeg;base64,"


def write_photo_page(out: Path) -> Path:
    """Write ``protect.html`` of everything that ``protect.json`` records; returns its path.

    Pictures that the page has already are not made again, so that they stay if an original is moved. They are made
    from pixels only: nothing of an original's metadata is in the page.

    Raises:
        FacecloakError: ``protect.json`` is missing or damaged.
    """
    photos, known = read_json(out / "protect.json")["photos"], _known_previews(out / PAGE)
    previews: dict[str, str] = {}
    spent = 0
    for photo in reversed(photos):
        for side, key in _pictures(photo):
            if key in previews or spent > BUDGET:
                continue
            if uri := known.get(key) or _preview(out / _path(photo["links"][side]), key):
                previews[key] = uri
                spent += len(uri)
    data = {"photos": [_describe(photo, out) for photo in photos], "previews": previews}
    page = fill_page("photos.html", "Protected photos", ["page.css", "photos.css"], SCRIPTS, {"data": data})
    write_bytes(out / PAGE, page)
    return out / PAGE


def _pictures(photo: dict[str, Any]) -> list[tuple[str, str]]:
    """(name of the link, SHA-256) of the original and the result."""
    return [] if photo["error"] else [("original", photo["source_sha256"]), ("result", photo["result_sha256"])]


def _describe(photo: dict[str, Any], out: Path) -> dict[str, Any]:
    """What a card shows. Of the original's path there is only its file name."""
    shared = {"name": Path(photo["photo"]).name, "error": photo["error"]}
    if photo["error"]:
        return shared | {"error": photo["error"].removeprefix(f"{photo['photo']}: ")}
    names = (
        "method",
        "objective",
        "target",
        "size",
        "n_faces",
        "n_protected",
        "n_too_small",
        "psnr",
        "seconds",
        "result",
    )
    return shared | {name: photo[name] for name in names} | {
        "attacked": photo["surrogates"],
        "link": photo["links"]["result"],
        "here": (out / _path(photo["links"]["result"])).is_file(),
        "previews": [key for _, key in _pictures(photo)],
        "rows": [row for number, face in enumerate(photo["faces"], 1) for row in _rows(photo, face, number)],
    }  # fmt: skip


def _rows(photo: dict[str, Any], face: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """A row for each recognizer: similarities [before, after] to the original and to the target."""
    role = "attacked" if photo["surrogates"] else "compares"
    rows = [
        {"face": number, "name": name, "role": role, "original": [1.0, to_original],
         "to_target": [face["cosine_to_target_before"][name], face["cosine_to_target_after"][name]]}
        for name, to_original in face["cosine_to_original_after"].items()
    ]  # fmt: skip
    for name, said in face["judges"].items():
        rows.append({
            "face": number, "name": name, "role": "judge", "original": [1.0, said["cosine_to_original_after"]],
            "to_target": [said["cosine_to_target_before"], said["cosine_to_target_after"]],
            "matches_original": said["matches_original"], "matches_target": said["matches_target"],
        })  # fmt: skip
    return rows


def _path(link: str) -> Path:
    return Path(os.fsdecode(unquote_to_bytes(link)))


def _known_previews(page: Path) -> dict[str, str]:
    """The previews in an earlier page; none if there is no page, or if it has been changed."""
    try:
        block = re.search(rb'<script type="application/json" id="data">(.*?)</script>', page.read_bytes(), re.DOTALL)
        previews = orjson.loads(block[1])["previews"] if block else {}
        return {key: uri for key, uri in previews.items() if uri.startswith(JPEG)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _preview(file: Path, digest: str) -> str | None:
    """A small JPEG of a photo; None if the file is no longer there or has other content."""
    try:
        if sha256(file) != digest:
            return None
        picture, buffer = Image.fromarray(read_image(file)), io.BytesIO()
    except (OSError, FacecloakError):
        return None
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    picture.save(buffer, format="JPEG", quality=QUALITY)
    return JPEG + base64.b64encode(buffer.getvalue()).decode()
