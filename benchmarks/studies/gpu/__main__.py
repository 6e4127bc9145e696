"""Measure the parts one after the other, print and write their tables."""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import torch

from benchmarks.console import markdown_table, quietly
from benchmarks.harness.devices import device_name, pick_device
from benchmarks.studies.gpu import __doc__ as about
from benchmarks.studies.gpu.cloak import exactness, fast, speed, speed_mini
from benchmarks.studies.gpu.study import SIDE, Study, Table
from benchmarks.studies.gpu.suite import judging, limits, methods, training, two_processes, work
from facecloak.cli.guard import guarded
from facecloak.errors import FacecloakError
from facecloak.io import file_name, write_bytes, write_json

PARTS: dict[str, Callable[[Study], Table]] = {
    "limits": limits, "exactness": exactness, "speed": speed, "fast": fast, "methods": methods,
    "judging": judging, "two_processes": two_processes, "training": training, "speed_mini": speed_mini,
}  # fmt: skip


def run(study: Study, parts: list[str], out: Path, budget: float) -> int:
    """Measure the parts one after the other, print each table, and write ``gpu_PART.csv`` and ``DEVICE.json``."""
    began, content = time.perf_counter(), {"device": device_name(study.device), "torch": torch.__version__}
    status = 0
    for part in parts:
        if time.perf_counter() - began > budget:
            print(f"{part}: left out, {budget:.0f} seconds are over", flush=True)
            status = 1
            continue
        started = time.perf_counter()
        try:
            table = PARTS[part](study)
        except (FacecloakError, RuntimeError) as error:  # the other parts are measured all the same
            print(f"{part}: failed: {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
            content[part] = {"error": str(error).splitlines()[0]}
            status = 1
            continue
        took = time.perf_counter() - started
        content[part] = {"heads": table.heads, "lines": table.lines, "seconds": round(took, 1)}
        print(f"{markdown_table(*table)}({part}: {took:.0f} s)\n", flush=True)
        stream = StringIO()
        csv.writer(stream, lineterminator="\n").writerows([table.heads, *table.lines])
        write_bytes(out / f"gpu_{part}.csv", stream.getvalue().encode())
        write_json(out / f"{file_name(device_name(study.device).replace(' ', '-'))}.json", content)
    return status


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.gpu", description=about.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu is for tests (default: cuda)")
    parser.add_argument("--size", choices=[*SIDE], default="sd2", help="of the random models (default: sd2)")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"comma-separated (default: {','.join(PARTS)})")
    parser.add_argument("--batches", default="1,4,8,16,32", help="photos at once (default: 1,4,8,16,32)")
    parser.add_argument("--repetitions", type=int, default=3, help="of which the median counts (default: 3)")
    parser.add_argument("--iterations", type=int, help="of the method on pocket (default: the suite's)")
    parser.add_argument("--seconds", type=float, default=480, help="after which no part begins (default: 480)")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder of the files (default: runs/gpu)")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    parts = options.parts.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"--parts: there is no {unknown[0]!r}; there are {', '.join(PARTS)}")
    batches = tuple(int(count) for count in options.batches.split(","))

    def start() -> int:
        device = pick_device("gpu" if options.device == "cuda" else "cpu")
        study = Study(device, options.size, batches, options.repetitions, options.iterations)
        return work(study) if options.worker else run(study, parts, options.out, options.seconds)

    with quietly():
        return guarded(start)


if __name__ == "__main__":
    sys.exit(main())
