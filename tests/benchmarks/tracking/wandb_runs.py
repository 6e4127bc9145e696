"""The runs of the stand-in for W&B's server: what was sent for each, and the state that the server derives from it."""

from __future__ import annotations

import json
import re
from typing import Any

PROJECT = {"id": "1", "internalId": "1", "name": "facecloak", "entityName": "team", "readOnly": False,
           "entity": {"id": "1", "name": "team"}}  # fmt: skip
KILLED, CRASHED = 255, 254  # exit codes that mean these states; Ctrl-C is 255
ALWAYS = ("id", "name", "projectId")


class Run:
    """One run.

    Attributes:
        about, config, summary: by W&B's names.
        history: by line.
        files: names that the server has given addresses for.
        starts: how often it was begun.
        ended: exit code; None while it runs.
        preempting: the run has said that it is being preempted.
        stops: the server wants it to end.
        is_silent: it has sent nothing for minutes.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.about, self.config, self.summary, self.history = {}, {}, {}, {}
        self.files: list[str] = []
        self.starts, self.ended, self.sweep = 0, None, None
        self.preempting, self.stops, self.is_silent = False, False, False

    @property
    def state(self) -> str:
        """W&B's word for how it is."""
        if self.ended is None:
            return "crashed" if self.is_silent else "preempting" if self.preempting else "running"
        if self.ended == 0:
            return "finished"
        if self.preempting:
            return "preempted"
        return {KILLED: "killed", CRASHED: "crashed"}.get(self.ended, "failed")

    def upsert(self, given: dict[str, Any]) -> None:
        """Take what a client says about the run when it begins or changes it."""
        begins = bool(given.get("program") or given.get("jobType")) and not given.get("id")
        self.starts += begins
        if begins:
            self.begin()
        self.about |= {key: value for key, value in given.items() if value or (key == "tags" and value is not None)}
        self.config |= json.loads(given.get("config") or "{}")
        self.sweep = given.get("sweep") or self.sweep

    def begin(self) -> None:
        """Run, perhaps once more."""
        self.ended, self.preempting, self.stops, self.is_silent = None, False, False, False

    def stream(self, sent: dict[str, Any]) -> None:
        """Take the content of its file stream: lines of history by their place, the last summary, its end."""
        for name, part in sent.get("files", {}).items():
            lines = [json.loads(line) for line in part["content"] if name.endswith(("history.jsonl", "summary.json"))]
            if name == "wandb-history.jsonl":
                self.history |= {part["offset"] + place: line for place, line in enumerate(lines)}
            elif name == "wandb-summary.json":
                self.summary = lines[-1]
        self.preempting = self.preempting or bool(sent.get("preempting"))
        if sent.get("complete"):
            self.ended = sent["exitcode"]

    def node(self, query: str = "") -> dict[str, Any]:
        """The fields that a query names; all of them for an empty one."""
        tail = [json.dumps(self.history[max(self.history)])] if self.history else []
        found = {
            "id": f"id-{self.name}", "name": self.name, "displayName": self.about.get("displayName") or self.name,
            "project": PROJECT, "projectId": 1, "sweepName": self.sweep, "config": json.dumps(self.config),
            "tags": self.about.get("tags", []), "notes": "", "summaryMetrics": json.dumps(self.summary),
            "historyLineCount": len(self.history), "eventsLineCount": 0, "logLineCount": 0, "eventsTail": "[]",
            "historyTail": json.dumps(tail), "wandbConfig": '{"t": 1}', "state": self.state, "group": "",
            "jobType": "", "commit": None, "readOnly": False, "description": "", "stopped": self.stops,
            "createdAt": f"2026-01-01T00:00:{len(self.name):02d}Z", "heartbeatAt": "2026-01-01T00:00:00Z",
            "systemMetrics": "{}", "user": {"name": "me", "username": "me"}, "historyKeys": None, "internalId": "1",
        }  # fmt: skip
        return {key: value for key, value in found.items()
                if not query or key in ALWAYS or re.search(rf"\b{key}\b", query)}  # fmt: skip


def artifact_node(name: str, about: dict[str, Any]) -> dict[str, Any]:
    """An artifact as GraphQL gives it."""
    project = {"__typename": "Project", "id": "1", "internalId": "1", "name": "facecloak", "entity": {"name": "team"}}
    alias = {"__typename": "ArtifactAlias", "id": "1", "alias": "v0"}
    collection = {"__typename": "ArtifactSequence", "name": about["name"], "project": project}
    return {
        "__typename": "Artifact", "id": name, "artifactSequence": collection, "versionIndex": 0,
        "artifactType": {"name": about["type"]}, "description": None, "metadata": None, "ttlDurationSeconds": -1,
        "ttlIsInherited": False, "tags": [], "historyStep": None, "size": 1, "digest": "",
        "state": "COMMITTED" if about["committed"] else "PENDING", "digestAlgorithm": "MANIFEST_MD5",
        "commitHash": None, "fileCount": 1, "createdAt": "2026-01-01T00:00:00Z", "updatedAt": None,
        "aliases": [{**alias, "artifactCollection": collection}],
    }  # fmt: skip


def file_node(name: str, size: int) -> dict[str, Any]:
    """A file of a run as GraphQL gives it; one that was announced but has not arrived is empty."""
    return {"id": name, "name": name, "url": "", "directUrl": "", "sizeBytes": size, "mimetype": "", "updatedAt": None,
            "md5": ""}  # fmt: skip
