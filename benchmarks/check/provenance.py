"""Whether a protection agrees with its name and key, and its judgements with it. Each rule yields (FAR, problem)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.results.schema import Problem
from benchmarks.results.store import Judgement, file_name, protection_of, run_id
from facecloak.config import ADAPTED, far_key, settings_hash
from facecloak.io import sha256_json

# columns of a row that are copied from protection.json
COPIED = ("suite", "dataset", "image_size", "method", "preset", "settings_hash", "seed", "objective", "target")


def description_problems(folder: Path, about: dict[str, Any]) -> Iterator[str]:
    """Whether a protection's folder, key and description agree."""
    key, key_of = sha256_json(about["key_of"]), about["key_of"]
    if key != about["key"]:
        yield f"protection.json: key is {about['key']}, but its key_of gives {key}"
    name = f"{file_name(about['method'])}_{file_name(about['target'])}_{about['key'][:12]}"
    if folder.name != name:
        yield f"the folder is called {folder.name}, but its protection.json says {name}"
    if (found := settings_hash(about["settings"])) != about["settings_hash"]:
        yield f"protection.json: settings_hash is {about['settings_hash']}, but its settings give {found}"
    if sorted(about["weights"]) != sorted(about["surrogates"]):
        names = [", ".join(sorted(about[part])) for part in ("weights", "surrogates")]
        yield f"protection.json: weights are of {names[0] or 'none'}, but surrogates are {names[1] or 'none'}"
    described = {
        "suite": [about["suite"], about["image_size"]],
        "method": [about["method"], about["settings"]],
        "objective": about["objective"],
        "target": [about["target"]],
        "surrogates": [[name, about["weights"].get(name)] for name in about["surrogates"]],
    }
    for part, value in described.items():
        made_of = key_of.get(part)
        # the rest of these is only in the key
        if part in ("suite", "method", "target") and isinstance(made_of, list):
            made_of = made_of[: len(value)]
        if made_of != value:
            yield f"protection.json: {part} is {value!r:.200}, but its key_of says {made_of!r:.200}"


def judgement_problems(judgement: Judgement) -> Iterator[Problem]:
    """Whether rows of the right form agree with their protection, their folder and their thresholds."""
    row, about, folder = judgement.rows[0], judgement.protection, judgement.folder
    wanted = {column: about.get(column) for column in COPIED} | {
        "surrogates": "+".join(about["surrogates"]), "protection": protection_of(folder).name,
        "countermeasure": folder.parent.name, "black_box": folder.name, "run_id": run_id(folder),
    }  # fmt: skip
    for column, value in wanted.items():
        if row.get(column) != value:
            source = "protection.json" if column in (*COPIED, "surrogates") else "its folder"
            yield None, f"{column} is {row.get(column)!r}, but {source} says {value!r:.200}"
    yield from ((None, problem) for problem in _box_problems(judgement))
    yield from _threshold_problems(judgement)


def _box_problems(judgement: Judgement) -> Iterator[str]:
    """A judge that was attacked, under its own name or another, must be marked as a white box."""
    row, weights = judgement.rows[0], judgement.protection["weights"]
    judge, own = row["black_box"], row.get("weights_sha256")
    twins = [name for name, sha256 in weights.items() if name != judge and own is not None and sha256 == own]
    if judge.removesuffix(ADAPTED) in weights and not row["white_box"]:
        yield f"white_box is false, but the judge {judge} is one of the surrogates {'+'.join(weights)}"
    elif twins and not row["white_box"]:
        yield f"white_box is false, but the surrogate {twins[0]} has the weights of the judge {judge}"
    elif row["white_box"] and judge.removesuffix(ADAPTED) not in weights and not twins:
        yield f"white_box is true, but the judge {judge} is not one of the surrogates {'+'.join(weights)!r}"


def _threshold_problems(judgement: Judgement) -> Iterator[Problem]:
    row, thresholds = judgement.rows[0], judgement.provenance.get("thresholds")
    if not isinstance(thresholds, dict) or not isinstance(thresholds.get("fars"), dict):
        yield None, "judgement.json: its provenance has no thresholds"
        return
    judge = thresholds.get("weights_sha256")
    if judge not in (None, row.get("weights_sha256")):
        yield None, f"the thresholds are for weights {judge!r:.80}, but the judge has {row.get('weights_sha256')}"
    if thresholds.get("pairs") != row.get("threshold_source"):
        source = thresholds.get("pairs")
        yield None, f"threshold_source is {row.get('threshold_source')!r}, but the provenance says {source!r:.80}"
    for each in judgement.rows:
        entry = thresholds["fars"].get(far_key(each["far"]))
        stored = entry.get("threshold") if isinstance(entry, dict) else None
        if stored != each["threshold"]:
            yield each["far"], f"threshold is {each['threshold']}, but in the provenance it is {stored!r:.80}"
