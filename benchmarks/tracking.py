"""Mirrors judged cells to Weights & Biases: `--wandb`, or `python -m benchmarks.tracking RUN…` for runs made earlier.

A cell's directory is the store, and all that is sent is read from it. It is sent by a process of its own, so that
neither a slow network nor an error there touches the benchmark. The only file that imports wandb.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, get_args

import numpy as np
import pandas as pd

from benchmarks.cell import read_result
from benchmarks.grid import difference
from benchmarks.tracker import Mode
from facecloak.errors import FacecloakError
from facecloak.guard import guarded
from facecloak.io import read_image, read_json, sha256_json

PROJECT = "facecloak"  # but for $WANDB_PROJECT
SAMPLES = 4  # pictures of a cell
# columns of a row → the group that their scalars are shown in
RATES = ("psr", "dodging", "joint")
QUALITY = ("psnr", "ssim", "lpips", "fid", "kid", "fd", "kd")
COST = ("seconds_per_image", "training_seconds", "amortised_seconds_per_image", "peak_memory_mb", "unet_passes")
HASHES = ("manifest_sha256", "settings_hash", "weights_sha256")
ABOUT = ("suite", "dataset", "image_size", "method", "preset", "objective", "target", "black_box", "white_box",
         "surrogates", "seed", "facecloak", "git_sha", "schema_version", "device")  # fmt: skip


def default_mode() -> Mode:
    """Online where somebody has logged in, and offline where not."""
    import wandb

    return "online" if wandb.login(prompt=False, verify=False) else "offline"


def track(folder: Path, mode: Mode) -> None:
    """Make one W&B run of a judged cell; sent twice, it is the same run.

    Args:
        folder: of the cell, below ``cells`` of a run's folder.

    Raises:
        FacecloakError: the cell is not complete.
    """
    import wandb

    result = read_result(folder)
    if result is None:
        raise FacecloakError(f"{folder} is not a complete cell.")
    rows, provenance, out = result["rows"], result["provenance"], folder.parents[1]
    first = rows[0]
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT), dir=str(out), mode=mode, resume="allow",
        id=f"{folder.name[-40:]}-{sha256_json(first['manifest_sha256'])[:8]}",
        reinit="finish_previous", name=folder.name, group=first["suite"], job_type="protect",
        tags=[first["method"], first["preset"], first["black_box"], first["objective"]],
        config=_config(first, provenance),
        settings=wandb.Settings(
            silent=True, console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True,
            x_disable_machine_info=True, x_save_requirements=False,
        ),
    )  # fmt: skip
    with run:
        run.define_metric("loss/*", step_metric="iteration")
        curves = _curves(folder)
        for step, values in enumerate(curves):  # steps that W&B has already are dropped
            run.log({"iteration": step, **values}, step=step)
        columns = list(dict.fromkeys(column for row in rows for column in row))
        run.log({
            "samples": [wandb.Image(picture, caption=name) for name, picture in _samples(folder, out)],
            "rows": wandb.Table(columns=columns, data=[[row.get(column) for column in columns] for row in rows]),
        }, step=len(curves))  # fmt: skip
        run.summary.update(_scalars(rows))
        artifact = wandb.Artifact(folder.name[:128], type="cell", metadata=run.config.as_dict())
        artifact.add_dir(str(folder), policy="immutable")
        run.log_artifact(artifact)


def _config(row: dict[str, Any], provenance: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: row.get(name) for name in ABOUT},
        row["method"]: provenance["settings"],
        "hashes": {**{name: row.get(name) for name in HASHES}, "cell": provenance["key"], **provenance["weights"]},
        "versions": {"torch": provenance["torch"], "facecloak": row["facecloak"]},
    }


def _scalars(rows: list[dict[str, Any]]) -> dict[str, float]:
    """``psr/RECOGNIZER/FAR`` and the other rates, ``quality/…``, ``cost/…``; what was not measured is left out."""
    values = {f"{kind}/{row['black_box']}/{row['far']:g}": row[kind] for row in rows for kind in RATES}
    for group, columns in (("quality", QUALITY), ("cost", COST)):
        values |= {f"{group}/{column}": rows[0].get(column) for column in columns}
    return {name: value for name, value in values.items() if value is not None}


def _curves(folder: Path) -> list[dict[str, float]]:
    """``loss/NAME`` of each iteration, the mean over the images."""
    histories = [read_json(path)["history"] for path in sorted((folder / "outcomes").glob("*.json"))]
    names = dict.fromkeys(name for history in histories for name in history)
    curves = {f"loss/{name}": pd.DataFrame([h[name] for h in histories if name in h]).mean() for name in names}
    return pd.DataFrame(curves).to_dict("records")


def _samples(folder: Path, out: Path) -> list[tuple[str, np.ndarray]]:
    """Name and original | protected | ×10 difference of the first images that there are."""
    found = []
    for line in (folder / "records.jsonl").read_text().splitlines():
        name = json.loads(line)["id"]
        original, protected = out / "sources" / f"{name}.png", folder / "images" / f"{name}.png"
        if protected.is_file() and original.is_file() and len(found) < SAMPLES:
            pair = [read_image(original), read_image(protected)]
            found.append((name, np.concatenate([*pair, difference(pair[1], pair[0])], axis=1)))
    return found


def _read(lines: SimpleQueue[str]) -> None:
    """Standard input, line by line; "" at its end."""
    for line in sys.stdin:
        lines.put(line)
    lines.put("")


def _cells(runs: list[str]) -> Iterator[Path]:
    """The complete cells of runs' folders; those of ``-`` are named on standard input, a line each."""
    for run in runs:
        if run == "-":
            lines: SimpleQueue[str] = SimpleQueue()
            Thread(target=_read, args=[lines], daemon=True).start()  # whoever names them need not wait
            yield from (Path(line.rstrip("\n")) for line in iter(lines.get, ""))
        else:
            found = sorted(path.parent for path in Path(run).glob("cells/*/cell.json"))
            if not found:
                raise FacecloakError(f"{run} has no complete cell: give the --out of a benchmark.")
            yield from found


def main(arguments: list[str] | None = None) -> int:
    """Parse and send; 1 if a cell could not be sent."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run (--out of a benchmark)")
    parser.add_argument("--wandb", choices=get_args(Mode)[:2], help="default: online if logged in, else offline")
    options = parser.parse_args(arguments)

    def work() -> int:
        if options.runs == ["-"]:
            os.nice(19)  # a benchmark is running, and measures seconds
        mode, failed = options.wandb or default_mode(), 0
        for folder in _cells(options.runs):
            try:
                track(folder, mode)
                print(f"{mode}: {folder.name}", flush=True)
            except Exception as error:  # the next cell may go through
                failed += 1
                print(f"error: {folder.name}: {' '.join(str(error).split())[:300]}", file=sys.stderr, flush=True)
        return min(failed, 1)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
