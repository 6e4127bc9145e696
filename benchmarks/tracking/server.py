"""What W&B's server has of the runs that are sent: nothing counts as sent until it was seen there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import wandb

from benchmarks.tracking.client import api, asking, entity, project
from benchmarks.tracking.folders import SUPERSEDED

PAGE = 50  # runs in one answer
LATE = (1, 2, 4)  # seconds between questions: the server may not know at once what it has


class Found(NamedTuple):
    """A run at the server.

    Attributes:
        state: W&B's word; finished means that its end has arrived.
        lines: of its history.
        tags: as they are there.
        run: the client's object.
    """

    state: str
    lines: int
    tags: list[str]
    run: wandb.apis.public.Run


def find_runs(ids: Iterable[str]) -> dict[str, Found]:
    """The runs of these ids that the server has; its answer comes in pages of `PAGE` runs.

    Raises:
        NoAnswer: the server does not answer.
    """
    found = {}
    with asking("Weights & Biases does not answer"):
        filters = {"name": {"$in": [*ids]}}
        try:
            for run in api().runs(f"{entity()}/{project()}", filters=filters, per_page=PAGE):
                found[run.id] = Found(run.state, run.historyLineCount or 0, [*(run.tags or [])], run)
        except ValueError as error:
            if "Could not find project" not in str(error):  # the first run makes the project
                raise
    return found


def missing(found: Found | None, lines: int, artifacts: int, media: Iterable[str]) -> str:
    """What the server does not have of a run, in words; empty if it has everything.

    Args:
        found: the run at the server.
        lines: that its history has.
        artifacts: that it has.
        media: names of files that the server is asked for.

    Raises:
        NoAnswer: the server does not answer.
    """
    if found is None:
        return "the server does not have the run"
    if found.lines < lines:
        return f"the server has {found.lines} of {lines} lines of the history"
    if found.state != "finished":
        return f"at the server the run is {found.state}"
    with asking("Weights & Biases does not say what it has"):
        try:
            there = sum(artifact.state == "COMMITTED" for artifact in found.run.logged_artifacts())
        except AssertionError:  # the client cannot read the list while one of them is not complete
            return "at the server an artifact is not complete"
        if there < artifacts:
            return f"the server has {there} of {artifacts} artifacts"
        names = {*media}
        # a file that was announced but never arrived has no size
        names -= {file.name for file in (found.run.files(names=[*names]) if names else ()) if file.size}
    return f"the server does not have {min(names)}" if names else ""


def tag_superseded(name: str) -> None:
    """Tag a run as superseded, if the server has it.

    Raises:
        NoAnswer: the server does not answer.
    """
    with asking(f"an earlier run could not be tagged {SUPERSEDED!r}"):
        try:
            run = api().run(f"{entity()}/{project()}/{name}")
        except wandb.errors.RunNotFoundError:  # it was never sent
            return
        run.tags = [*dict.fromkeys([*(run.tags or []), SUPERSEDED])]
        run.update()


def untag(name: str) -> None:
    """Remove the tag from a run that counts again.

    Raises:
        NoAnswer: the server does not answer.
    """
    with asking(f"a run that counts again could not be rid of its tag {SUPERSEDED!r}"):
        run = api().run(f"{entity()}/{project()}/{name}")
        run.tags = [tag for tag in run.tags or [] if tag != SUPERSEDED]
        run.update()


def media_of(folder: Path) -> list[str]:
    """The names that the files of a run's folder have at the server."""
    return [path.relative_to(folder / "files").as_posix() for path in sorted((folder / "files").rglob("media/**/*"))
            if path.is_file()]  # fmt: skip
