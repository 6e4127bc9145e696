"""Published numbers, which nobody measured here: rows of source = reported."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.results.schema import COLUMNS, SCHEMA_VERSION

BOTH = "average over CelebA-HQ and LADN, 8 cells"
PATH = Path(__file__).parent / "reported.csv"


def read_reported() -> pd.DataFrame:
    """The file as it is, one line a method and black box.

    ``target`` is mean: PSR is published as the mean over the targets. ``psr_both``, the mean over CelebA-HQ and LADN
    and their recognizers (8 cells), is of no one row and given with each of its method; so are FID, PSNR and SSIM, of
    which nobody says what photos they are of.
    """
    return pd.read_csv(PATH).assign(source="reported", white_box=False)


def reported_rows(published: pd.DataFrame) -> pd.DataFrame:
    """The same as rows of the long table; columns as in `COLUMNS`, most of them empty, ``psr_both`` in the note."""
    both = (100 * published["psr_both"]).map(f"; {BOTH}: {{:.2f}} %".format)
    table = published.assign(note=published["note"] + both, schema_version=SCHEMA_VERSION)
    return table.reindex(columns=list(COLUMNS))
