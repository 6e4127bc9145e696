"""Whether a cell's rows name what its key was made of; its folder is called by the key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.results.schema import Problem
from facecloak.io import sha256_json


def key_problems(result: dict[str, Any]) -> Iterator[Problem]:
    """Compare the first row, whose form is right, with provenance's ``key_of``; cells of earlier versions have none."""
    row, provenance = result["rows"][0], result["provenance"]
    made_of = provenance.get("key_of")
    if made_of is None:
        return
    if not isinstance(made_of, dict):
        yield None, f"provenance's key_of is {made_of!r:.80}"
        return
    if (found := sha256_json(made_of)) != provenance.get("key"):
        yield None, f"provenance's key is {provenance.get('key')}, of its key_of it is {found}"
    weights = provenance["weights"] if isinstance(provenance.get("weights"), dict) else {}
    surrogates = row["surrogates"].split("+") if row["surrogates"] else []
    wanted = {
        "suite": [row["suite"], row["image_size"]],
        "method": [row["method"], provenance.get("settings")],
        "objective": row["objective"],
        "target": [row["target"]],
        "black_box": [row["black_box"], row["white_box"]],
        "surrogates": [[name, weights.get(name)] for name in surrogates],
    }
    for part, value in wanted.items():
        stored = made_of.get(part)
        # what follows of these is in no row
        if part in ("suite", "method", "target") and isinstance(stored, list):
            stored = stored[: len(value)]
        if stored != value:
            yield None, f"{part} is {value}, the cell was made with {stored}: provenance's key_of says so"
