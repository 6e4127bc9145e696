"""`python -m benchmarks.ship RUNS…`: make trained stages of runs part of the embedded suite, in float16."""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

from safetensors.torch import load_file, save

from benchmarks.training import SHIPPED
from facecloak.errors import FacecloakError
from facecloak.guard import guarded
from facecloak.io import pocket_dir, read_json, write_bytes, write_json
from facecloak.pocket.training.assets import write_manifest


def ship(runs: list[Path]) -> int:
    """Replace what is shipped by the checkpoints of these runs; returns how many there are.

    Raises:
        FacecloakError: a run has none, which leaves everything as it was.
    """
    found = {run: sorted((run / "checkpoints").glob("*.safetensors")) for run in runs}
    for run, files in found.items():
        if not files:
            raise FacecloakError(f"{run / 'checkpoints'} holds no trained stage: run `facecloak benchmark` first.")
    folder, shipped = pocket_dir() / SHIPPED, set()
    for file in (file for files in found.values() for file in files):
        halves = save({name: weight.half() for name, weight in load_file(file).items()})
        about = read_json(file.with_suffix(".json")) | {"sha256": hashlib.sha256(halves).hexdigest()}
        write_bytes(folder / file.name, halves)
        write_json(folder / f"{file.stem}.json", about)
        shipped.add(file.stem)
    for old in folder.iterdir():
        if old.stem not in shipped:
            old.unlink()
    write_manifest(pocket_dir())
    return len(shipped)


def main(arguments: list[str] | None = None) -> int:
    """Parse, copy, say how many."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ship", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run (--out of a benchmark)")
    options = parser.parse_args(arguments)

    def work() -> int:
        print(f"{ship(options.runs)} trained stages in {pocket_dir() / SHIPPED}")
        return 0

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
