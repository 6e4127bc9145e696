"""A cell's records.jsonl, as columns of what its black box saw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from facecloak.errors import FacecloakError

SIDES = {"impersonation": "target", "obfuscation": "self"}  # the cosine that decides


@dataclass(frozen=True)
class CellRecords:
    """N images in the order of the file.

    Attributes:
        ids: N names.
        errors: N texts, None where nothing went wrong.
        usable, detected, identical: (N,) bool.
        reference: "target" and "self" → (N,) bool, whether there is a photo to compare with.
        cosine, cosine_clean: "target" and "self" → (N,) of the protected and of the unprotected image, NaN for none.
        psnr, ssim, seconds: (N,), NaN where not measured.
    """

    ids: list[str]
    errors: list[str | None]
    usable: np.ndarray
    detected: np.ndarray
    identical: np.ndarray
    reference: dict[str, np.ndarray]
    cosine: dict[str, np.ndarray]
    cosine_clean: dict[str, np.ndarray]
    psnr: np.ndarray
    ssim: np.ndarray
    seconds: np.ndarray

    def outcomes(self, objective: str, threshold: float) -> np.ndarray:
        """(N,) 1.0 for a success, 0.0 for none, NaN for an image that is in no rate; as `success_rows` decides.

        A failed image is never a success; one without a face, or whose source is unusable, is in no rate.
        """
        side = SIDES[objective]
        cosine, failed = self.cosine[side], np.array([error is not None for error in self.errors], dtype=bool)
        won = (cosine > threshold if objective == "impersonation" else cosine < threshold) & ~failed
        counted = self.usable & self.reference[side] & (failed | ~np.isnan(cosine))
        return np.where(counted, won.astype(np.float64), np.nan)


def read_records(table: pd.DataFrame, cells: dict[str, Path]) -> dict[str, CellRecords]:
    """The records of every measured cell, by run_id. Plots and page ask for the same: files are read once.

    Args:
        table: a long table; of its rows the black box of each run_id is used.
        cells: run_id → folder.

    Raises:
        FacecloakError: a file is missing or a line of it is not a record; both are named.
    """
    boxes = table[table["source"] == "measured"].drop_duplicates("run_id").set_index("run_id")["black_box"]
    files = []
    for run_id, folder in sorted(cells.items()):
        path = folder / "records.jsonl"
        if not path.is_file():
            raise FacecloakError(f"{path}: no such file. Judge the cell again, or leave its folder out.")
        status = path.stat()  # a file that was changed in between is another one
        files.append((str(path), boxes[run_id], status.st_mtime_ns, status.st_size))
    return dict(zip(sorted(cells), _read_all(tuple(files)), strict=True))


@lru_cache(maxsize=1)
def _read_all(files: tuple[tuple[str, str, int, int], ...]) -> list[CellRecords]:
    return [_read(path, box) for path, box, *_ in files]


def _read(path: str, black_box: str) -> CellRecords:
    records = []
    for number, line in enumerate(Path(path).read_bytes().splitlines(), start=1):
        try:
            records.append(_pick(orjson.loads(line), black_box))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FacecloakError(
                f"{path}, line {number}: not a record of a judged image ({type(error).__name__}: {error}). Judge the "
                "cell again, or leave its folder out."
            ) from None
    columns = list(zip(*records, strict=True)) or [()] * 14
    ids, errors, *flags = columns[:5]
    references, numbers = columns[5:7], [np.array(column, dtype=np.float64) for column in columns[7:]]
    usable, detected, identical = (np.array(flag, dtype=bool) for flag in flags)
    reference, cosine, clean = (
        dict(zip(("target", "self"), pair, strict=True))
        for pair in ([np.array(flag, dtype=bool) for flag in references], numbers[:2], numbers[2:4])
    )
    return CellRecords([*ids], [*errors], usable, detected, identical, reference, cosine, clean, *numbers[4:])


def _pick(record: dict[str, Any], box: str) -> tuple:
    now, clean, reference = record["cosine"], record["cosine_clean"], record["reference"]
    if "/" in record["id"] or "\\" in record["id"]:  # pictures are found by it, below the cell's folder only
        raise ValueError(f"id {record['id']!r} is no file name")
    return (
        record["id"], record["error"], record["usable"], record["detected"], record.get("identical", False),
        "target" in reference, "self" in reference,
        now.get("target", {}).get(box), now.get("self", {}).get(box),
        clean.get("target", {}).get(box), clean.get("self", {}).get(box),
        record.get("psnr"), record.get("ssim"), record.get("seconds"),
    )  # fmt: skip
