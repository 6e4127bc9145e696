"""The golden runs, and the parts of them that are compared: bytes of pictures, cosines, rates.

``python -m tests.benchmarks.golden_runs`` writes the files in ``golden``. They were written by the version that made
pictures once per judge, and show that the redesign changed where files are but no number.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from facecloak.cli.main import main
from facecloak.io import sha256
from tests.toys import write_suite

FOLDER = Path(__file__).parent / "golden"
RATES = ("threshold", "psr", "psr_low", "psr_high", "psr_clean", "n_psr", "dodging", "dodging_clean", "n_dodging",
         "joint", "joint_clean", "rank1_targeted", "rank1_untargeted", "cosine_rise_black_box", "n_undetected", "psnr",
         "ssim", "n_identical", "surrogates")  # fmt: skip
RUNS = {
    "toys": ["--methods", "none,blur,pgd:single,tip_im", "--targets", "1,2"],
    "pocket": ["--methods", "none,blur,pgd:single,tip_im", "--limit", "1"],
}


def platform() -> dict[str, str]:
    """The properties of the machine on which the last bit of a picture depends."""
    return {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}


def run(name: str, root: Path) -> dict[str, Any]:
    """Run it in a folder; returns the values that are compared."""
    suite = name
    if name == "toys":
        os.environ["FACECLOAK_WEIGHTS"] = str(root / "toys" / "weights")
        suite = str(write_suite(root / "toys"))
    out = root / f"golden-{name}"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert main(["benchmark", suite, *RUNS[name], "--out", str(out), "--wandb", "disabled"]) == 0
    finally:
        torch.set_num_threads(threads)
    return {"platform": platform(), "cells": collect(out)}


def collect(out: Path) -> dict[str, Any]:
    """method, target and judge → its rates by FAR, hashes of pictures and cosines by photo."""
    found = {}
    for path in sorted(out.glob("protections/*/judgements/none/*/judgement.json")):
        rows = json.loads(path.read_text())["rows"]
        first, records = rows[0], map(json.loads, (path.parent / "records.jsonl").read_text().splitlines())
        box = first["black_box"]
        found[" ".join((first["method"], first["preset"], first["target"], box))] = {
            "rates": {f"{row['far']:g}": {name: row.get(name) for name in RATES} for row in rows},
            "photos": {
                record["id"]: {
                    "png": sha256(path.parents[3] / "images" / f"{record['id']}.png"),
                    **{
                        f"{column} {side}": record[column].get(side)
                        for column in ("cosine", "cosine_clean")
                        for side in ("target", "self")
                    },
                }
                for record in records
            },
        }
    return found


if __name__ == "__main__":
    for each in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            text = json.dumps(run(each, Path(folder)), sort_keys=True)
        (FOLDER / f"{each}.json").write_text(text + "\n")
