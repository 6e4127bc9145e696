"""The sweeps of the stand-in for W&B's server: trials and stops are those of W&B's own engine, the package sweeps."""

from __future__ import annotations

import json
import warnings
from typing import Any

import yaml

from tests.benchmarks.tracking.wandb_runs import PROJECT, Run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import sweeps as engine


class Sweeps:
    """All sweeps.

    Attributes:
        content: id → content of its file.
        given: id of a run → (id of its sweep, its parameters as the engine gave them).
        beats: reports of agents about their runs.
        hosts: names of machines that agents have sent.
        stop_by: the ways in which a run is told to stop: by its agent, by its own file stream.
        pressed: id of a run that somebody stops on the web page → lines of history that they wait for.
        waiting: ids of preempted runs that are to be run again.
    """

    def __init__(self, runs: dict[str, Run]) -> None:
        self.runs = runs
        self.content: dict[str, dict[str, Any]] = {}
        self.given: dict[str, tuple[str, dict[str, Any]]] = {}
        self.waiting: list[str] = []
        self.beats, self.hosts = [], []
        self.stop_by = {"agent", "stream"}
        self.pressed: dict[str, int] = {}

    def upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        """Make a sweep."""
        name = f"sweep{len(self.content) + 1}"
        self.content[name] = yaml.safe_load(given["config"])
        return {"sweep": {"name": name, "project": PROJECT}, "configValidationWarnings": []}

    def node(self, name: str, query: str) -> dict[str, Any] | None:
        """A sweep as GraphQL gives it."""
        if name not in self.content:
            return None
        own = [self.runs[each] for each in self._own(name) if each in self.runs]
        return {
            "__typename": "Sweep", "id": name, "name": name, "method": self.content[name]["method"],
            "state": "FINISHED" if self._is_finished(name) else "RUNNING", "description": "",
            "config": yaml.safe_dump(self.content[name]), "createdAt": "", "heartbeatAt": "", "updatedAt": "",
            "bestLoss": None, "controller": None, "scheduler": None, "earlyStopJobRunning": False, "priorRuns": [],
            "displayName": name, "runCount": len(own), "runCountExpected": None, "order": "",
            "runs": {"edges": [{"node": run.node(query), "cursor": run.name} for run in own]},
        }  # fmt: skip

    def create_agent(self, given: dict[str, Any]) -> dict[str, Any] | int:
        """Register an agent; a sweep that is finished takes no more."""
        self.hosts.append(given["host"])
        return 400 if self._is_finished(given["sweep"]) else {"agent": {"id": given["sweep"]}}

    def heartbeat(self, given: dict[str, Any]) -> dict[str, Any]:
        """Tell an agent what to do: stop a run, begin the next one, begin a preempted one again, or end."""
        name, running = given["id"], json.loads(given["runState"])
        self.beats.append(running)
        self._requeue(name)
        commands = [{"type": "stop", "run_id": run} for run in running
                    if "agent" in self.stop_by and run in self.runs and self.wants_end(self.runs[run])]  # fmt: skip
        if not running:
            commands = [self._next(name)]
        return {"agent": {"id": name}, "commands": json.dumps(commands)}

    def stops_by_stream(self, run: Run) -> bool:
        """Whether the answer to a run's file stream says that it is to stop."""
        return "stream" in self.stop_by and self.wants_end(run)

    def wants_end(self, run: Run) -> bool:
        """Whether the server wants a run to end, because its engine or a person does."""
        sweep = self.content.get(run.sweep or "")
        if run.ended is None and sweep is not None and sweep.get("early_terminate"):
            stopped = engine.stop_runs(sweep, self._engine_runs(run.sweep))
            run.stops = run.stops or run.name in [each.name for each in stopped]
        if run.name in self.pressed and len(run.history) >= self.pressed[run.name]:
            run.stops = True
        return run.stops

    def _own(self, name: str) -> list[str]:
        return [run for run, (sweep, _) in self.given.items() if sweep == name]

    def _engine_runs(self, name: str) -> list[engine.SweepRun]:
        """The runs of a sweep as the engine sees them; one that has been handed out and not begun is pending."""
        found = []
        for each in self._own(name):
            run, values = self.runs.get(each), self.given[each][1]
            found.append(engine.SweepRun(
                name=each, state=run.state if run else "pending", config=values,
                summaryMetrics=run.summary if run else {}, sampledHistory=[*run.history.values()] if run else [],
            ))  # fmt: skip
        return found

    def _is_finished(self, name: str) -> bool:
        """Whether all places of a grid, or as many runs as the file allows, have been handed out and have ended."""
        known = self._engine_runs(name)
        if any(run.state in ("pending", "running", "preempting", "preempted") for run in known):
            return False
        return self._drawn(name) is None

    def _drawn(self, name: str) -> engine.SweepRun | None:
        content, known = self.content[name], self._engine_runs(name)
        if len(known) >= content.get("run_cap", float("inf")):
            return None
        plain = {key: value for key, value in content.items() if key != "run_cap"}  # newer than the package
        return engine.next_runs(plain, known)[0]

    def _requeue(self, name: str) -> None:
        again = [each for each in self._own(name) if each in self.runs and self.runs[each].state == "preempted"]
        self.waiting += [each for each in again if each not in self.waiting]

    def _next(self, name: str) -> dict[str, Any]:
        program = self.content[name]["program"]
        if self.waiting:
            run = self.waiting.pop(0)
            self.runs[run].begin()
            args = {key: value for key, value in self.runs[run].config.items()}  # all of it, as #4237 shows
            return {"type": "resume", "run_id": run, "program": program, "args": args}
        drawn = self._drawn(name)
        if drawn is None:
            return {"type": "exit"}
        run = f"trial{len(self.given) + 1}"
        self.given[run] = (name, drawn.config)
        return {"type": "run", "run_id": run, "program": program, "args": drawn.config}
