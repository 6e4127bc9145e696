"""The portraits that the pocket models learn from, rendered once and kept on disk in blocks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecloak.io import sha256, sha256_json, write_bytes
from facecloak.pocket.portraits import portraits

SHOTS = 8  # photos of each person
BLOCK = 100  # people in a file
CROP = (20, 16, 108, 104)  # what recognizers see of a portrait: the face, a little hair, no clothes

# The numbers of the people. The ranges do not overlap: a model has never seen what it is tested or judged on.
TRAIN = range(0, 2400)
TEST = range(20_000, 20_400)  # AUC, true accept rates and thresholds of the recognizers
SUITE = range(30_000, 30_400)  # sources and targets of the suite


@dataclass
class Corpus:
    """Portraits, those of one person next to each other.

    Attributes:
        images: uint8 N×128×128×3.
        people: int64 N, the numbers of the people.
        captions: N sentences.
    """

    images: np.ndarray
    people: np.ndarray
    captions: list[str]


def render_corpus(folder: Path, people: range, on_block: Callable[[int, int], None] = lambda *_: None) -> Corpus:
    """Render the blocks that do not exist yet, one by one, and read all of them.

    Args:
        folder: where the blocks lie; a block that a kill left undone is rendered again.
        people: the numbers of the people, `SHOTS` portraits each, all with seed 0.
        on_block: called with the number of people that are done, and of all.
    """
    images, captions, drawing = [], [], _drawing()
    for first in range(people.start, people.stop, BLOCK):
        block = range(first, min(first + BLOCK, people.stop))
        file = folder / f"people_{block.start}_{block.stop}_{drawing}.npz"
        if not file.is_file():
            _render(file, block)
        with np.load(file, allow_pickle=False) as stored:
            images.append(stored["images"])
            captions += json.loads(str(stored["captions"]))
        on_block(block.stop - people.start, len(people))
    return Corpus(np.concatenate(images), np.repeat(np.asarray(people), SHOTS), captions)


def _drawing() -> str:
    """Hash of the code that draws: portraits that other code drew are not mixed in."""
    pocket = Path(__file__).parents[1]
    sources = [pocket / "portraits.py", *sorted((pocket / "drawing").glob("*.py"))]
    return sha256_json([SHOTS, *map(sha256, sources)])[:8]


def _render(file: Path, block: range) -> None:
    made = portraits([who for who in block for _ in range(SHOTS)], list(range(SHOTS)) * len(block))
    data = io.BytesIO()
    np.savez(data, images=made.images.numpy(), captions=np.array(json.dumps(made.captions)))
    write_bytes(file, data.getvalue())
