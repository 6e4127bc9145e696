"""A stand-in for W&B's server: it answers requests of runs, artifacts, sweeps and agents, and keeps all in memory."""

from __future__ import annotations

import json
from http.server import ThreadingHTTPServer
from threading import Thread
from typing import Any

import yaml

from tests.benchmarks.tracking.wandb_handler import Handler

PROJECT = {"id": "1", "name": "facecloak", "entityName": "team", "entity": {"id": "1", "name": "team"}}
VIEWER = {"id": "1", "entity": "team", "username": "me", "email": "me@localhost", "flags": "{}", "name": "me",
          "admin": False, "teams": {"edges": []}, "apiKeys": {"edges": []}}  # fmt: skip


class Run:
    """The data sent for one run: fields by W&B's names, history by line, how often it was started, its artifacts."""

    def __init__(self) -> None:
        self.about, self.config, self.summary, self.history = {}, {}, {}, {}
        self.starts, self.ended, self.artifacts, self.sweep = 0, None, [], None

    def node(self, name: str) -> dict[str, Any]:
        tail = [json.dumps(self.history[max(self.history)])] if self.history else []
        state = "running" if self.ended is None else "failed" if self.ended else "finished"
        return {
            "id": f"id-{name}", "name": name, "displayName": self.about.get("displayName") or name, "project": PROJECT,
            "projectId": 1, "sweepName": self.sweep, "config": json.dumps(self.config),
            "tags": self.about.get("tags", []), "notes": "",
            "summaryMetrics": json.dumps(self.summary), "historyLineCount": len(self.history), "eventsLineCount": 0,
            "logLineCount": 0, "eventsTail": "[]", "historyTail": json.dumps(tail), "wandbConfig": '{"t": 1}',
            "state": state, "group": "", "jobType": "", "commit": None, "readOnly": False, "description": "",
            "createdAt": f"2026-01-01T00:00:{len(name):02d}Z", "heartbeatAt": "2026-01-01T00:00:00Z",
            "systemMetrics": "{}", "user": {"name": "me", "username": "me"}, "historyKeys": None, "internalId": "1",
        }  # fmt: skip


class Server(ThreadingHTTPServer):
    """Listens at ``url``. Agents get ``trials`` (parameters by name), one at a time, and are then told to end.

    Attributes:
        sweeps: id → content of the sweep's file.
        trials: trials that agents have not been given yet.
        beats: reports of agents about their runs.
        uploads: address → bytes.
        stops: id of a run that is stopped after its first report.
        dies_at: text in an address or query; from that request on, the server does not answer.
        is_dead: whether that has happened.
        unknown: queries that the server does not know.
        heard: all requests: address, headers and body of each.
    """

    daemon_threads = True

    def __init__(self, trials: list[dict[str, Any]] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs: dict[str, Run] = {}
        self.sweeps, self.uploads, self.artifacts = {}, {}, {}
        self.trials, self.beats, self.unknown, self.heard = list(trials or []), [], [], []
        self.stops: str | None = None
        self.dies_at: str | None = None
        self.is_dead = False
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Server:
        Thread(target=self.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *about: object) -> None:
        """Ignore clients that close the connection."""

    def dies(self, text: str) -> bool:
        """Whether it is dead, or dies because of this address or query."""
        self.is_dead = self.is_dead or (self.dies_at is not None and self.dies_at in text)
        return self.is_dead

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any] | None:
        """The first of the fields below that a query names, as GraphQL answers it; None if it is unknown."""
        for name in ("upsertBucket", "upsertSweep", "createAgent", "agentHeartbeat", "createRunFiles",
                     "createArtifactManifest", "createArtifactFiles", "createArtifact", "commitArtifact"):  # fmt: skip
            if f"{name}(" in query:
                return {name: getattr(self, f"_{name}")({**given, **given.get("input", {})})}
        if "viewer" in query:
            return {"viewer": VIEWER}
        if "serverInfo" in query:
            return {"serverInfo": {"features": []}}
        if "bucket(" in query:
            name = given["name"]
            return {"model": {**PROJECT, "bucket": self.runs[name].node(name) if name in self.runs else None}}
        if "sweep(" in query:
            name = given.get("sweep") or given["name"]
            return {"project": {**PROJECT, "sweep": self._sweep(name)}}
        if " run(" in query:
            name = given["name"]
            return {"project": {**PROJECT, "run": self.runs[name].node(name) if name in self.runs else None}}
        if "runs(" in query:
            return {"project": {**PROJECT, "runCount": len(self.runs), "runs": self._edges(self.runs)}}
        if "artifact(name" in query:
            return {"project": {"artifact": None}}
        if "artifact(id" in query:
            return {"artifact": self._artifact(given["id"])}
        self.unknown.append(query)
        return None

    def _edges(self, runs: dict[str, Run]) -> dict[str, Any]:
        edges = [{"node": run.node(name), "cursor": name} for name, run in runs.items()]
        return {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}

    def _sweep(self, name: str) -> dict[str, Any] | None:
        if name not in self.sweeps:
            return None
        own = {key: run for key, run in self.runs.items() if run.sweep == name}
        return {
            "id": name, "name": name, "method": self.sweeps[name]["method"], "state": "RUNNING", "description": "",
            "config": yaml.safe_dump(self.sweeps[name]), "createdAt": "", "heartbeatAt": "", "updatedAt": "",
            "bestLoss": None, "controller": None, "scheduler": None, "earlyStopJobRunning": False, "priorRuns": [],
            "displayName": name, "runCount": len(own), "runCountExpected": None, "order": "", "runs": self._edges(own),
        }  # fmt: skip

    def _upsertBucket(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("name") or given["id"].removeprefix("id-")  # W&B's own names for the two
        new = name not in self.runs
        run = self.runs.setdefault(name, Run())
        run.starts += bool(given.get("program") or given.get("displayName") or given.get("jobType"))
        run.about |= {key: value for key, value in given.items() if value}
        run.config |= json.loads(given.get("config") or "{}")
        run.sweep = given.get("sweep") or run.sweep
        return {"bucket": run.node(name), "inserted": new}

    def _upsertSweep(self, given: dict[str, Any]) -> dict[str, Any]:
        name = f"sweep{len(self.sweeps) + 1}"
        self.sweeps[name] = yaml.safe_load(given["config"])
        return {"sweep": {"name": name, "project": PROJECT}, "configValidationWarnings": []}

    def _createAgent(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"agent": {"id": given["sweep"]}}

    def _agentHeartbeat(self, given: dict[str, Any]) -> dict[str, Any]:
        running = json.loads(given["runState"])
        self.beats.append(running)
        commands: list[dict[str, Any]] = []
        if self.stops in running and self.stops in self.runs and self.runs[self.stops].history:
            commands = [{"type": "stop", "run_id": self.stops}]
        elif not running and self.trials:
            values = {name: {"value": value} for name, value in self.trials.pop(0).items()}
            program = self.sweeps[given["id"]]["program"]
            name = f"trial{len(self.runs) + 1}"
            commands = [{"type": "run", "run_id": name, "program": program, "args": values}]
        elif not running:
            commands = [{"type": "exit"}]
        return {"agent": {"id": given["id"]}, "commands": json.dumps(commands)}

    def _createRunFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/{given['run']}/{name}"} for name in given["files"]]
        return {"runID": given["run"], "uploadHeaders": [], "files": files}

    def _createArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        name = f"artifact{len(self.artifacts) + 1}"
        self.artifacts[name] = {"type": given["artifactTypeName"], "run": given["runName"], "committed": False}
        sequence = {"id": name, "latestArtifact": None}
        return {"artifact": {"id": name, "state": "PENDING", "artifactSequence": sequence}}

    def _artifact(self, name: str) -> dict[str, Any]:
        project = {"id": "1", "internalId": "1", "name": "facecloak", "entity": {"name": "team"}}
        alias = {"__typename": "ArtifactAlias", "id": "1", "alias": "v0"}
        collection = {"__typename": "ArtifactSequence", "name": name, "project": project}
        return {
            "__typename": "Artifact", "id": name, "artifactSequence": collection, "versionIndex": 0,
            "artifactType": {"name": self.artifacts[name]["type"]}, "description": None, "metadata": None,
            "ttlDurationSeconds": -1, "ttlIsInherited": False, "tags": [], "historyStep": None, "state": "COMMITTED",
            "size": 1, "digest": "", "digestAlgorithm": "MANIFEST_MD5", "commitHash": None, "fileCount": 1,
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": None,
            "aliases": [{**alias, "artifactCollection": collection}],
        }  # fmt: skip

    def _createArtifactManifest(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given["artifactID"]
        file = {"id": name, "uploadUrl": f"{self.url}/manifest/{name}", "uploadHeaders": []}
        return {"artifactManifest": {"id": name, "file": file}}

    def _createArtifactFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        files = [
            {"id": file["name"], "name": file["name"], "displayName": file["name"], "uploadHeaders": [],
             "uploadUrl": f"{self.url}/{file['artifactID']}/{file['name']}", "storagePath": file["name"],
             "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}}
            for file in given["artifactFiles"]
        ]  # fmt: skip
        return {"files": {"edges": [{"node": file} for file in files]}}

    def _commitArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        self.artifacts[given["artifactID"]]["committed"] = True
        return {"artifact": {"id": given["artifactID"], "digest": ""}}

    def stream(self, run: Run, sent: dict[str, Any]) -> None:
        """Keep the content of a run's file stream: lines of history by their place, the last summary, its end."""
        for name, part in sent.get("files", {}).items():
            lines = [json.loads(line) for line in part["content"] if name.endswith(("history.jsonl", "summary.json"))]
            if name == "wandb-history.jsonl":
                run.history |= {part["offset"] + place: line for place, line in enumerate(lines)}
            elif name == "wandb-summary.json":
                run.summary = lines[-1]
        if sent.get("complete"):
            run.ended = sent["exitcode"]
