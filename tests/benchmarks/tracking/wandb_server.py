"""A stand-in for the server of Weights & Biases, for the real client: runs, artifacts, sweeps.

It answers as the server does, as far as that is known: lists come in pages and with the fields that are asked for, a
run's state follows from its end, sweeps are W&B's own engine (`wandb_sweeps`), and any request can be refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from threading import Condition, Event, Thread
from typing import Any

from tests.benchmarks.tracking.wandb_handler import Handler
from tests.benchmarks.tracking.wandb_runs import PROJECT, Run, artifact_node, file_node
from tests.benchmarks.tracking.wandb_sweeps import Sweeps

VIEWER = {"id": "1", "entity": "team", "username": "me", "email": "me@localhost", "flags": "{}", "name": "me",
          "admin": False, "teams": {"edges": []}, "apiKeys": {"edges": []}}  # fmt: skip
MUTATIONS = ("upsertBucket", "upsertSweep", "createAgent", "agentHeartbeat", "createRunFiles",
             "createArtifactManifest", "createArtifactFiles", "createArtifact", "commitArtifact")  # fmt: skip
EVERY = "*"  # in the place of a run's id
TEXTS = {403: "permission denied", 404: "not found", 409: "was previously created and deleted; try a new run name",
         429: "too many requests", 500: "internal error"}  # fmt: skip


@dataclass
class Fault:
    """How an endpoint behaves.

    Attributes:
        how: an HTTP status; ``hangs up``; ``took it`` (and hangs up); ``stops`` (and says nothing until it recovers);
            ``dies`` (from then on, for this run).
        after: requests that are answered as usual before that.
    """

    how: int | str
    after: int = 0


class Server(ThreadingHTTPServer):
    """Listens at ``url``.

    Attributes:
        runs: id → run.
        sweeps: the sweeps and what their agents are told.
        faults: (endpoint, id of a run, of a sweep, or `EVERY`) → its fault.
        dead: ids of runs and sweeps (or `EVERY`) that no request is answered for.
        uploads: address → bytes.
        deleted: ids of runs that somebody has deleted.
        asked: endpoints of all requests, with the id of the run.
        unknown: queries that the server does not know.
        heard: all requests: address, headers and body of each.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.lock, self.answers_again = Condition(), Event()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.runs: dict[str, Run] = {}
        self.uploads, self.artifacts = {}, {}
        self.sweeps = Sweeps(self.runs)
        self.faults: dict[tuple[str, str], Fault] = {}
        self.dead, self.deleted = set(), set()
        self.asked, self.unknown, self.heard = [], [], []

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Wait until something is so after a request; fails after two minutes."""
        with self.lock:
            assert self.lock.wait_for(happened, 120)

    def recover(self) -> None:
        """Answer all requests again."""
        self.faults.clear()
        self.dead.clear()
        self.answers_again.set()
        self.answers_again = Event()

    def __enter__(self) -> Server:
        Thread(target=self.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *about: object) -> None:
        """Ignore clients that close the connection."""

    def fault(self, endpoint: str, run: str | None) -> int | str | None:
        """What goes wrong with a request; None if nothing does."""
        self.asked.append((endpoint, run))
        if {run, EVERY} & self.dead:
            return "dies"
        found = self.faults.get((endpoint, run or EVERY)) or self.faults.get((endpoint, EVERY))
        if found is None:
            return None
        found.after -= 1
        if found.after >= 0:
            return None
        if found.how == "dies":
            self.dead.add(run if (endpoint, run) in self.faults else EVERY)
        return found.how

    def endpoint(self, query: str, given: dict[str, Any]) -> tuple[str, str | None]:
        """The field that a query names, and the id of the run, or of the sweep, that it is about."""
        for name in MUTATIONS:
            if f"{name}(" in query:
                break
        else:
            found = re.search(r"\b(viewer|serverInfo|bucket|outputArtifacts|files|sweep|run|runs|artifact)\b *[({]",
                              re.sub(r"^[^{]*", "", query))  # fmt: skip
            names = re.findall(r"\b(viewer|serverInfo|bucket|outputArtifacts|sweep|runs|artifact)(?= *[({])",
                               re.sub(r"^[^{]*", "", query))  # fmt: skip
            name = names[0] if names else (found[1] if found else "")
            name = "files" if "...RunFilesFragment" in query else name
            name = "stopped" if re.search(r"run\(name: [^)]*\) ?{ ?stopped", query) else name
        artifact = self.artifacts.get(given.get("artifactID") or given.get("id") or "")
        if given.get("artifactFiles"):
            artifact = self.artifacts.get(given["artifactFiles"][0]["artifactID"])
        run = artifact["run"] if artifact else given.get("runName") or given.get("run") or given.get("runId")
        if name in ("upsertBucket", "bucket", "run", "files", "stopped") and not run:
            run = given.get("name") or given.get("id", "").removeprefix("id-")
        of_sweep = {"createAgent": ("sweep",), "agentHeartbeat": ("id",), "sweep": ("sweep", "name")}.get(name, ())
        return name, next((given[key] for key in of_sweep if given.get(key)), run)

    def answer(self, name: str, query: str, given: dict[str, Any]) -> dict[str, Any] | int:
        """The answer to a query as GraphQL gives it; a status if the server refuses."""
        if name in MUTATIONS:
            found = getattr(self, f"_{name}")(given)
            return found if isinstance(found, int) else {name: found}
        if name == "viewer":
            return {"viewer": VIEWER}
        if name == "serverInfo":
            return {"serverInfo": {"features": []}}
        if name == "artifact":
            by_id = given.get("id") in self.artifacts
            return {"artifact": artifact_node(given["id"], self.artifacts[given["id"]])} if by_id else \
                {"project": {"artifact": None}}  # fmt: skip
        if name == "sweep":
            return {"project": {**PROJECT, "sweep": self.sweeps.node(given.get("sweep") or given["name"], query)}}
        if name == "runs":
            return {"project": {**PROJECT, **self._page(query, given)}}
        run = self.runs.get(given.get("name") or given.get("run") or given.get("runId") or "")
        if name == "bucket":
            return {"model": {**PROJECT, "bucket": run and run.node()}}
        if name in ("run", "stopped"):
            return {"project": {**PROJECT, "run": run and run.node(query)}}
        if name == "outputArtifacts":
            edges = [{"cursor": key, "node": artifact_node(key, each)} for key, each in self.artifacts.items()
                     if run and each["run"] == run.name]  # fmt: skip
            page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
            return {"project": {"run": {"artifacts": {"totalCount": len(edges), "edges": edges, "pageInfo": page}}}}
        if name == "files":
            files = [file_node(file, len(self.uploads.get(f"/{run.name}/{file}", b""))) for file in run.files
                     if not given.get("fileNames") or file in given["fileNames"]]  # fmt: skip
            page = {"edges": [{"cursor": file["name"], "node": file} for file in files],
                    "pageInfo": {"endCursor": None, "hasNextPage": False}}  # fmt: skip
            return {"project": {**PROJECT, "run": {"fileCount": len(files), "files": page}}}
        self.unknown.append(query)
        return 400

    def _page(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """A page of runs: those that come after the cursor, which is the last edge of the page before."""
        wanted = json.loads(given.get("filters") or "{}")
        for part in wanted.pop("$and", []):
            wanted |= part
        assert not {*wanted} - {"name", "sweep"}, wanted
        names = wanted.get("name", {}).get("$in")
        found = [run for run in self.runs.values() if names is None or run.name in names]
        found = [run for run in found if "sweep" not in wanted or run.sweep == wanted["sweep"]]
        count, start = given.get("perPage") or 50, 0
        if given.get("cursor"):
            start = [run.name for run in found].index(given["cursor"]) + 1
        page = found[start : start + count]
        edges = [{"node": run.node(query), "cursor": run.name} for run in page]
        more = {"endCursor": page[-1].name if page else None, "hasNextPage": start + count < len(found)}
        return {"runCount": len(found), "runs": {"edges": edges, "pageInfo": more}}

    def _upsertBucket(self, given: dict[str, Any]) -> dict[str, Any] | int:
        name = given.get("name") or given["id"].removeprefix("id-")  # W&B's own names for the two
        if name in self.deleted:
            return 409
        new = name not in self.runs
        run = self.runs.setdefault(name, Run(name))
        run.upsert(given)
        return {"bucket": run.node(), "inserted": new}

    def _upsertSweep(self, given: dict[str, Any]) -> dict[str, Any] | int:
        return self.sweeps.upsert(given)

    def _createAgent(self, given: dict[str, Any]) -> dict[str, Any] | int:
        return self.sweeps.create_agent(given)

    def _agentHeartbeat(self, given: dict[str, Any]) -> dict[str, Any] | int:
        return self.sweeps.heartbeat(given)

    def _createRunFiles(self, given: dict[str, Any]) -> dict[str, Any] | int:
        run = self.runs[given["run"]]
        run.files += [name for name in given["files"] if name not in run.files]
        files = [{"name": name, "uploadUrl": f"{self.url}/{given['run']}/{name}"} for name in given["files"]]
        return {"runID": given["run"], "uploadHeaders": [], "files": files}

    def _createArtifact(self, given: dict[str, Any]) -> dict[str, Any] | int:
        name = f"artifact{len(self.artifacts) + 1}"
        called = given.get("artifactCollectionName") or given["artifactCollectionNames"][0]
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", called):
            return 400
        self.artifacts[name] = {"type": given["artifactTypeName"], "run": given["runName"], "committed": False,
                                "name": called}  # fmt: skip
        sequence = {"id": name, "latestArtifact": None}
        return {"artifact": {"id": name, "state": "PENDING", "artifactSequence": sequence}}

    def _createArtifactManifest(self, given: dict[str, Any]) -> dict[str, Any] | int:
        name = given["artifactID"]
        file = {"id": name, "uploadUrl": f"{self.url}/manifest/{name}", "uploadHeaders": []}
        return {"artifactManifest": {"id": name, "file": file}}

    def _createArtifactFiles(self, given: dict[str, Any]) -> dict[str, Any] | int:
        files = [
            {"id": file["name"], "name": file["name"], "displayName": file["name"], "uploadHeaders": [],
             "uploadUrl": f"{self.url}/{file['artifactID']}/{file['name']}", "storagePath": file["name"],
             "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}}
            for file in given["artifactFiles"]
        ]  # fmt: skip
        return {"files": {"edges": [{"node": file} for file in files]}}

    def _commitArtifact(self, given: dict[str, Any]) -> dict[str, Any] | int:
        self.artifacts[given["artifactID"]]["committed"] = True
        return {"artifact": {"id": given["artifactID"], "digest": ""}}
