"""`python -m benchmarks.studies.harness_speed`: one benchmark in one process, in several, and by another checkout.

No ratio is shown unless all runs end with the same pictures, to the last bit, and the same records and rows. As many
runs at once, each in one process of its own, show what the cores can do at most: they share nothing but the machine.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks.console import wide_console
from benchmarks.results.records import check_records
from benchmarks.results.store import find_judgements, protection_of, read_judgement
from facecloak.cli.arguments import positive
from facecloak.cli.guard import guarded
from facecloak.errors import FacecloakError

# what differs between two runs of one program, or two versions of it
COST = {"seconds", "seconds_per_image", "training_seconds", "amortised_seconds_per_image", "peak_memory_mb", "device"}
MADE = {"date", "facecloak", "git_sha", "made_by", "schema_version"}
HERE = Path(__file__).resolve().parents[2]


class Run(NamedTuple):
    """A run and what it took.

    Attributes:
        name: for the table.
        out: its folder.
        seconds: wall-clock seconds, imports included.
        cpu: seconds of all cores.
    """

    name: str
    out: Path
    seconds: float
    cpu: float


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.harness_speed", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--suite", default="pocket", help="name or path of a YAML file (default: pocket)")
    parser.add_argument("--methods", help="as of `facecloak benchmark` (default: the suite's)")
    parser.add_argument("--limit", type=positive, help="photos of each group (default: the suite's number)")
    parser.add_argument("--devices", type=positive, default=2, help="processes that share the work (default: 2)")
    parser.add_argument("--against", type=Path, help="another checkout of facecloak, run in one process")
    parser.add_argument("--threads", type=positive, default=1, help="threads of each process (default: 1)")
    options = parser.parse_args(arguments)
    return guarded(lambda: _run(options), smaller="--limit")


def _run(options: argparse.Namespace) -> int:
    command = ["benchmark", options.suite, "--accelerator", "cpu", "--wandb", "disabled"]
    for name in ("methods", "limit"):
        command += [f"--{name}", str(value)] if (value := getattr(options, name)) else []
    if options.against:
        require_checkout(options.against)
    with tempfile.TemporaryDirectory() as folder:
        runs = [measure("one process", Path(folder) / "one", command, HERE, options.threads)]
        if options.devices > 1:
            shared = [*command, "--devices", str(options.devices)]
            runs.append(measure(f"{options.devices} processes", Path(folder) / "more", shared, HERE, options.threads))
            runs.append(at_once(options.devices, Path(folder) / "many", command, options.threads))
        if options.against:
            runs.append(
                measure("the other checkout", Path(folder) / "other", command, options.against, options.threads)
            )
        for other in runs[1:]:
            require_equal(runs[0].out, other.out)
    view = Table("", "seconds", "CPU seconds", "seconds / one process", title=f"facecloak {' '.join(command)}")
    for run in runs:
        view.add_row(run.name, f"{run.seconds:.1f}", f"{run.cpu:.1f}", f"{run.seconds / runs[0].seconds:.2f}")
    wide_console().print(view)
    return 0


def require_checkout(checkout: Path) -> None:
    """Raise `FacecloakError` unless the facecloak that Python finds for a folder is the one in it."""
    if not (checkout / "facecloak" / "__init__.py").is_file():
        raise FacecloakError(f"--against {checkout}: there is no facecloak in it; name the root of a checkout.")
    command = [sys.executable, "-c", "import facecloak; print(facecloak.__file__)"]
    found = subprocess.run(command, env=_environment(checkout), capture_output=True, text=True)
    if found.returncode:
        raise FacecloakError(f"--against {checkout}: its facecloak cannot be imported. {found.stderr.strip()}")
    if (imported := Path(found.stdout.strip()).resolve().parents[1]) != checkout.resolve():
        raise FacecloakError(f"--against {checkout}: its facecloak is that of {imported}; name the root of a checkout.")


def _environment(checkout: Path, threads: int = 1) -> dict[str, str]:
    # without the second, the current folder would come before the checkout
    found = {"PYTHONPATH": str(checkout.resolve()), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": str(threads)}
    return os.environ | found


def measure(name: str, out: Path, command: list[str], checkout: Path, threads: int) -> Run:
    """Run a command of a checkout to its end, in the current folder."""
    before, began = _cpu(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "facecloak.cli", *command, "--out", str(out)],
        env=_environment(checkout, threads), capture_output=True, text=True,
    )  # fmt: skip
    seconds, cpu = time.perf_counter() - began, _cpu() - before
    if done.returncode:
        raise FacecloakError(f"{name}: the run failed. {done.stderr.strip()}")
    return Run(name, out, seconds, cpu)


def _cpu() -> float:
    """Seconds of all cores that finished processes have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def at_once(count: int, out: Path, command: list[str], threads: int) -> Run:
    """Run a command ``count`` times at once; its seconds are a run's share, and its folder is that of one of them."""
    before, began = _cpu(), time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        runs = [pool.submit(measure, "one of many", out / str(k), command, HERE, threads) for k in range(count)]
    done = [run.result() for run in runs]
    seconds, cpu = time.perf_counter() - began, _cpu() - before
    return Run(f"{count} runs at once, each", done[0].out, seconds / count, cpu / count)


def require_equal(one: Path, other: Path) -> None:
    """Raise `FacecloakError` unless two runs have the same pictures, records and rows, but for what they cost."""
    found = [contents(run) for run in (one, other)]
    for name in sorted({*found[0], *found[1]}):
        left, right = (each.get(name) for each in found)
        if left != right:
            where = "is missing in one of them" if left is None or right is None else "differs"
            raise FacecloakError(f"The runs cannot be compared: {name} {where}.")


def contents(run: Path) -> dict[str, Any]:
    """Name → content, without what it cost and which version made it.

    Raises:
        FacecloakError: a judgement is not complete, or its records are damaged.
    """
    found: dict[str, Any] = {
        f"{path.relative_to(run)}": path.read_bytes() for path in run.glob("protections/*/images/*.png")
    }
    for folder in find_judgements([run]):
        name = f"{protection_of(folder).name}, judge {folder.name}"
        judgement = read_judgement(folder)
        if judgement is None:
            raise FacecloakError(f"{folder} is not complete.")
        records, problems = check_records(folder)
        if problems:
            raise FacecloakError(f"{folder}: {problems[0][1]}.")
        found[f"rows of {name}"] = [_without(row, COST | MADE) for row in judgement.rows]
        found[f"records of {name}"] = [_without(record, COST) for record in records]
    return found


def _without(values: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


if __name__ == "__main__":
    sys.exit(main())
