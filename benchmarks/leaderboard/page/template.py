"""A page of one file: its parts put together, under a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PARTS = Path(__file__).parent


def fill_page(page: str, title: str, styles: Sequence[str], scripts: Sequence[str], data: dict[str, Any]) -> bytes:
    """A page that needs no other files and makes no requests.

    The data are JSON blocks, in which no tag can be closed; scripts show them as text. The content security policy
    allows only the page's own script to run, and only pictures inside the page to be loaded.

    Args:
        page: name of the HTML file in this folder that follows ``head.html``; both have a {{place}} for each of
            ``policy``, ``title``, ``style``, ``script`` and the keys of ``data``.
        title: of the page, as HTML.
        styles, scripts: names of files in this folder, in the order of their use.
        data: name of a place → JSON value.
    """
    style, script = ("".join((PARTS / name).read_text() for name in names) for names in (styles, scripts))
    parts = {
        "policy": f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
                  "base-uri 'none'; form-action 'none'",
        "title": title, "style": style, "script": script, **{name: to_json(value) for name, value in data.items()},
    }  # fmt: skip
    # in one pass: a {{place}} inside a part stays text
    text = "".join((PARTS / name).read_text() for name in ("head.html", page))
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], text).encode()


def to_json(value: Any) -> str:
    """Compact ASCII JSON that is safe inside a script element, whatever its texts are."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
