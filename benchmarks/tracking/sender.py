"""Sends to Weights & Biases: `--wandb`, or `python -m benchmarks.tracking.sender RUN…` for earlier runs; sweeps too.

A cell's directory is the store, and all that is sent is read from it. It is sent by a process of its own, so that
neither a slow network nor an error there touches the benchmark. The only file that imports wandb.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, get_args

import wandb

from benchmarks.tracking.content import Tracked, tracked_cell
from benchmarks.tracking.tracker import Mode, mode_of_environment
from facecloak.cli.guard import guarded
from facecloak.errors import FacecloakError

PROJECT = "facecloak"  # but for $WANDB_PROJECT
WRITTEN = "written"  # says that a run's files are complete
WAIT = 60.0  # seconds that a cell may take to be sent, but for $WANDB_FINISH_TIMEOUT, and
RATE = 1e5  # bytes a second beside
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # W&B's own telemetry holds paths


def _check_environment() -> None:
    """W&B's client would end in a traceback on these."""
    _wait()
    mode_of_environment()


def default_mode() -> Mode:
    """Online where somebody has logged in, and offline where not."""
    return "online" if wandb.login(prompt=False, verify=False) else "offline"


def _wait() -> float:
    """Seconds that a cell may take to be sent, beside what its size takes.

    Raises:
        FacecloakError: ``$WANDB_FINISH_TIMEOUT`` is no number of seconds.
    """
    text = os.environ.get("WANDB_FINISH_TIMEOUT") or WAIT
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise FacecloakError(f"$WANDB_FINISH_TIMEOUT is {text!r}; it must be a number of seconds, such as 60.")
    return seconds


def _init(**about: Any) -> wandb.Run:
    """A run of W&B that tells neither of this machine nor of its packages."""
    quiet = wandb.Settings(
        silent=True, console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True,
        x_disable_machine_info=True, x_save_requirements=False, host="", finish_timeout=_wait(),
    )  # fmt: skip
    return wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT), settings=quiet, reinit="finish_previous", **about
    )


def send(what: Tracked, mode: Mode) -> None:
    """Make one W&B run; sent twice from the same folder, it is the same one and sent once.

    It is written to files first, whatever the mode: a server that dies in the middle gets the whole of them later.

    Raises:
        NoAnswer: not everything was sent.
    """
    written = [path.parent for path in (what.out / "wandb").glob(f"offline-run-*-{what.id}/{WRITTEN}")]
    folder = written[0] if written else _write(what)
    if mode == "online":
        _sync(folder, [*folder.rglob("*"), *what.files])


def _write(what: Tracked) -> Path:
    """Write a run's files; returns their folder."""
    run = _init(
        mode="offline", dir=str(what.out), id=what.id, name=what.name, group=what.group, job_type=what.job_type,
        tags=what.tags, config=what.config,
    )  # fmt: skip
    with run:
        run.define_metric("loss/*", step_metric="iteration")
        for step, values in enumerate(what.curves):
            run.log({"iteration": step, **values}, step=step)
        columns = list(dict.fromkeys(column for row in what.rows for column in row))
        run.log({
            "samples": [wandb.Image(picture, caption=name) for name, picture in what.samples],
            "rows": wandb.Table(columns=columns, data=[[row.get(column) for column in columns] for row in what.rows]),
        })  # fmt: skip
        run.summary.update(what.scalars)
        artifact = wandb.Artifact(what.name[:128], type="cell", metadata=run.config.as_dict())
        for path in what.files:
            artifact.add_file(str(path), path.relative_to(what.folder).as_posix(), policy="immutable")
        run.log_artifact(artifact)
        folder = Path(run.dir).parent
    (folder / WRITTEN).touch()
    return folder


class NoAnswer(FacecloakError):
    """The server did not take a run."""


def _sync(folder: Path, files: list[Path]) -> None:
    """Send a run, all of whose files these are.

    Raises:
        NoAnswer: not everything was sent.
    """
    again = f"`wandb sync {folder}` tries again"
    wait = _wait() + sum(path.stat().st_size for path in files) / RATE
    try:
        sent = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", str(folder)], capture_output=True, text=True, timeout=wait
        )
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"not sent within {wait:.0f} seconds; {again}") from None
    if sent.returncode:
        raise NoAnswer(f"{(sent.stderr.strip() or 'no reason given').splitlines()[-1]}; {again}")


@contextmanager
def trial_run(config: dict[str, Any]) -> Iterator[wandb.Run]:
    """The run of a trial that W&B's agent started: what it is given to log, the server sees at once.

    Args:
        config: beside the parameters, which W&B knows.
    """
    _check_environment()
    about = {"job_type": "trial", "group": config["suite"], "config": config}
    try:
        run = _init(**about)
    except Exception as error:
        print(f"Weights & Biases does not answer ({error}); the trial runs all the same.", file=sys.stderr)
        run = _init(mode="disabled", **about)
    with run:
        yield run


def register_sweep(content: dict[str, Any]) -> str:
    """Make a sweep at W&B of what a sweep file says; returns its path, ENTITY/PROJECT/ID.

    Raises:
        FacecloakError: nobody is logged in, or the server refuses.
    """
    try:
        _logged_in()
        project = content.get("project") or os.environ.get("WANDB_PROJECT", PROJECT)
        name = wandb.sweep(content, entity=content.get("entity"), project=project)
        api = wandb.Api()
        return f"{api.settings['entity'] or api.default_entity}/{api.settings['project']}/{name}"
    except (wandb.Error, ValueError) as error:
        raise FacecloakError(f"Weights & Biases did not take the sweep: {error}") from None


def sweep_runs(path: str) -> list[dict[str, Any]]:
    """``name``, ``state``, ``config`` and ``summary`` of each run of a sweep, in the order of their making.

    Raises:
        FacecloakError: nobody is logged in, or the server does not answer.
    """
    try:
        _logged_in()
        runs = wandb.Api().sweep(path).runs
        found = [(run.created_at, run.name, run) for run in runs]
        return [
            {"name": run.id, "state": run.state, "config": dict(run.config), "summary": dict(run.summary)}
            for _, _, run in sorted(found, key=lambda each: each[:2])
        ]
    except (wandb.Error, ValueError) as error:
        raise FacecloakError(f"Weights & Biases does not say what trials {path} has: {error}") from None


def _logged_in() -> None:
    _check_environment()
    if not wandb.login(prompt=False, verify=False):
        raise FacecloakError("Nobody is logged in to Weights & Biases: run `wandb login`, or leave --backend out.")


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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking.sender", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run (--out of a benchmark)")
    parser.add_argument("--wandb", choices=get_args(Mode)[:2], help="default: online if logged in, else offline")
    options = parser.parse_args(arguments)

    def work() -> int:
        _check_environment()
        if options.runs == ["-"]:
            os.nice(19)  # a benchmark is running, and measures seconds
        mode, failed = options.wandb or default_mode(), 0
        for folder in _cells(options.runs):
            try:
                send(tracked_cell(folder), mode)
                print(f"{mode}: {folder.name}", flush=True)
            except Exception as error:  # the next cell may go through
                failed += 1
                if isinstance(error, NoAnswer):
                    mode = "offline"  # all that is left would wait as long
                print(f"error: {folder.name}: {' '.join(str(error).split())[:300]}", file=sys.stderr, flush=True)
        return min(failed, 1)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
