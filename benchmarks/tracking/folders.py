"""The folders of W&B's runs in ``OUT/wandb``: written once for each method's results, before anything is sent.

``written`` in a folder means that it is complete, ``tried`` that its sending was begun, and ``sent`` that the server
was seen to have all of it. W&B's own mark (``*.synced``) only means that its client has ended.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import chdir
from pathlib import Path

import wandb

from benchmarks.tracking.client import init, teardown
from benchmarks.tracking.content import Tracked

WRITTEN, TRIED, SENT = "written", "tried", "sent"
DELETED = "deleted"  # marks a run that somebody has deleted at the server
SUPERSEDED = "superseded"  # name of a tag and of a folder
PICTURES = "-pictures"  # end of the id of a run with pictures
NAMES = range(2, 10)  # numbers of the ids that follow one of which the server has only a part
HERE = Path("/proc/self/cwd")  # the working folder of whichever process reads this; only Linux has it


def run_id(what: Tracked) -> str:
    """The id at W&B: the same results have the same id."""
    return f"{what.stem}-{what.content}{PICTURES if what.files else ''}"


def ids(what: Tracked) -> list[str]:
    """The ids that a method's results can have: the first one, and those that follow if it was half sent."""
    return [run_id(what), *(f"{run_id(what)}-{number}" for number in NAMES)]


def id_of(folder: Path) -> str:
    """The id of the run in a folder."""
    return folder.name.split("-", 3)[3]


def lines(what: Tracked) -> int:
    """The number of lines in the history of a method's run; its table is in the last one."""
    return max(1, len(what.curves))


def artifacts(what: Tracked) -> int:
    """The number of artifacts of a method's run: its table, and its files."""
    return 1 + bool(what.files)


def folders(what: Tracked) -> list[Path]:
    """The folders of all W&B runs that were made here for a method, complete or not."""
    return sorted((what.out / "wandb").glob(f"offline-run-*-{what.stem}-*"))


def find_sent(what: Tracked) -> Path | None:
    """The folder of a run with these results that the server has; with pictures it has the results too."""
    more = f"{what.stem}-{what.content}{PICTURES}"
    wanted = {*ids(what), more, *(f"{more}-{number}" for number in NAMES)}
    return next((folder for folder in folders(what) if id_of(folder) in wanted and (folder / SENT).is_file()), None)


def find_written(what: Tracked) -> Path | None:
    """The folder of a run with these results that can be sent as it is.

    Its files are found by where the run's folder is, and W&B's client uses up some of them when it begins to send.
    """
    for folder in folders(what):
        written = folder / WRITTEN
        if id_of(folder) in ids(what) and written.is_file() and written.read_text() == str(what.out.resolve()):
            return None if (folder / TRIED).exists() or any(folder.glob("*.synced")) else folder
    return None


def write(what: Tracked, name: str) -> Path:
    """Write a run's files; returns their folder, which is complete after `finish`.

    Args:
        name: one of its `ids`.
    """
    out = what.out.resolve()
    # what W&B sends of an artifact includes where each file was, so that is told without the folders above the run
    os.environ["WANDB_DATA_DIR"] = str((HERE if HERE.exists() else out) / "wandb")
    with chdir(out):
        run = init(
            mode="offline", dir=str(out), id=name, name=what.name, group=what.group, job_type="method",
            tags=what.tags, config=what.config,
        )  # fmt: skip
        with run:
            run.define_metric("loss/*", step_metric="iteration")
            for step, values in enumerate(what.curves):
                run.log({"iteration": step, **values}, step=step)
            columns = list(what.rows[0])
            data = [[row[column] for column in columns] for row in what.rows]
            logged = {"rows": wandb.Table(columns=columns, data=data)}
            if what.samples:
                logged["samples"] = [wandb.Image(picture, caption=caption) for caption, picture in what.samples]
            run.log(logged)
            run.summary.update(what.summary)
            if what.files:
                artifact = wandb.Artifact(what.stem, type="method", metadata=run.config.as_dict())
                for path in what.files:
                    artifact.add_file(
                        str(path.relative_to(what.out)), path.relative_to(what.folder).as_posix(),
                        policy="immutable", skip_cache=True,
                    )  # fmt: skip
                run.log_artifact(artifact)
            return Path(run.dir).parent


def finish(made: Iterable[tuple[Tracked, Path]]) -> None:
    """Mark what was written as complete, once all of it is on the disk."""
    teardown()
    for what, folder in made:
        (folder / WRITTEN).write_text(str(what.out.resolve()))


def set_aside(what: Tracked, current: Path) -> None:
    """Move the method's other runs to where `wandb sync` of a folder does not find them; remove incomplete ones."""
    for folder in folders(what):
        if folder == current:
            continue
        if (folder / WRITTEN).is_file() and id_of(folder) != id_of(current):
            (what.out / "wandb" / SUPERSEDED).mkdir(exist_ok=True)
            folder.rename(what.out / "wandb" / SUPERSEDED / folder.name)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in superseded(what):
        if id_of(folder) == id_of(current):
            shutil.rmtree(folder, ignore_errors=True)  # the same results once more: the run at the server counts again


def superseded(what: Tracked) -> list[Path]:
    """The folders of the method's runs that others have replaced, and that are not yet tagged so at the server."""
    return sorted((what.out / "wandb" / SUPERSEDED).glob(f"offline-run-*-{what.stem}-*"))


def supersede(what: Tracked, name: str) -> None:
    """Remember that the server has only a part of the run of this id, which another one will replace."""
    (what.out / "wandb" / SUPERSEDED / f"offline-run-0-{name}").mkdir(parents=True, exist_ok=True)
