"""`python -m benchmarks.studies.pocket_checkpoints RUN…`: ship the trained stages that the embedded suite needs."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save

from benchmarks.harness.plan import Plan, Request, make_plan
from benchmarks.harness.training import SHIPPED, checkpoint_name, find_checkpoint
from benchmarks.studies.makeup import make_plans
from benchmarks.suites.suite import load_suite
from facecloak.cli.guard import guarded
from facecloak.errors import FacecloakError
from facecloak.io import pocket_dir, read_json, write_bytes, write_json
from facecloak.pocket.training.assets import write_manifest


def needed(out: Path) -> set[str]:
    """Names of the checkpoints that default runs of the suite and of `benchmarks.studies.makeup` need.

    Args:
        out: folder of any run; nothing is written there.
    """
    plans: list[Plan] = [
        make_plan(load_suite("pocket"), Request(out=out)),
        *make_plans(out, "pocket_dense", None, 1, []),
    ]
    return {
        checkpoint_name(protection, stage)
        for plan in plans
        for protection in plan.protections
        for stage in plan.methods[protection.method].stages(protection.settings)
    }


def ship(runs: list[Path]) -> int:
    """Ship the needed checkpoints, from runs or from those shipped already; delete the other shipped ones.

    Returns:
        the number of shipped checkpoints.

    Raises:
        FacecloakError: a checkpoint is missing or has changed, or the assets cannot be written; then nothing is done.
    """
    folder, found = pocket_dir() / SHIPPED, {}
    if not os.access(pocket_dir(), os.W_OK):
        raise FacecloakError(f"{pocket_dir()} cannot be written; set $FACECLOAK_POCKET to a copy of it.")
    for name in sorted(needed(runs[0])):
        files = [file for run in runs if (file := find_checkpoint(run, name))]
        if not files:
            raise FacecloakError(
                f"{name} is in none of these runs: train with `facecloak benchmark pocket` and "
                "`python -m benchmarks.studies.makeup` first."
            )
        halves = save({key: weight.half() for key, weight in load_file(files[0]).items()})
        about: dict[str, Any] = read_json(files[0].with_suffix(".json"))
        found[name] = halves, about | {"sha256": hashlib.sha256(halves).hexdigest()}
    for name, (halves, about) in found.items():
        write_json(folder / f"{name}.json", about)
        write_bytes(folder / f"{name}.safetensors", halves)
    for old in folder.iterdir():
        if old.stem not in found:
            old.unlink()
    write_manifest(pocket_dir())
    return len(found)


def main(arguments: list[str] | None = None) -> int:
    """Parse, copy, print the number of stages."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.pocket_checkpoints", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run (--out of a benchmark)")
    options = parser.parse_args(arguments)

    def work() -> int:
        print(f"{ship(options.runs)} trained stages in {pocket_dir() / SHIPPED}")
        return 0

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
