"""Published numbers, which were not measured here: rows with source = reported."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.results.schema import COLUMNS, SCHEMA_VERSION

BOTH = "average over CelebA-HQ and LADN, 8 cells"
PATH = Path(__file__).parent / "reported.csv"


def read_reported() -> pd.DataFrame:
    """The file as it is, one line per method and black box.

    ``target`` is mean: PSR is published as the mean over the targets. ``psr_both``, the mean over CelebA-HQ and LADN
    and their recognizers (8 cells), does not belong to a single row and is repeated in each row of its method. So are
    FID, PSNR and SSIM; it is not published which photos they were measured on.
    """
    return pd.read_csv(PATH).assign(source="reported", white_box=False)


def reported_rows(published: pd.DataFrame) -> pd.DataFrame:
    """The same numbers as rows of the long table: `COLUMNS`, most of them empty, and ``psr_both`` in the note."""
    both = (100 * published["psr_both"]).map(f"; {BOTH}: {{:.2f}} %".format)
    table = published.assign(note=published["note"] + both, schema_version=SCHEMA_VERSION)
    return table.reindex(columns=list(COLUMNS))
