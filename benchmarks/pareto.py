"""Who is beaten in both of two measures by nobody."""

from __future__ import annotations

import pandas as pd


def front(psr: pd.Series, quality: pd.Series) -> pd.Series:
    """Which lines no other beats: none has as much of both and more of one.

    Quality may be infinite; a line with NaN is in no front.

    Returns:
        bool, with the index of ``psr``.
    """
    known = psr.notna() & quality.notna()
    rate, worth = psr[known].to_numpy(dtype=float), quality[known].to_numpy(dtype=float)
    as_good = (rate[None] >= rate[:, None]) & (worth[None] >= worth[:, None])
    better = (rate[None] > rate[:, None]) | (worth[None] > worth[:, None])
    unbeaten = pd.Series(False, index=psr.index)
    unbeaten[known] = ~(as_good & better).any(axis=1)
    return unbeaten
