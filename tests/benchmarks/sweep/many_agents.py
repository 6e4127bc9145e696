"""Agents and trials of W&B in simulated time: the requests that the real ones make, and no work between them.

The numbers are those of W&B's client 0.31: an agent asks every 5 seconds what to do, a run sends what it has every 15
seconds while there is something, and a sign of life every 30 seconds.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import requests
import yaml

ASKS, SENDS, LIVES = 5.0, 15.0, 30.0  # seconds
CELLS = 4
HEARTBEAT, FILES, CREATES = "heartbeat", "file stream", "run creation"


@dataclass
class Sent:
    """What was sent, when.

    Attributes:
        counts: (kind, second) → requests.
        of_run: (run, second) → requests of its file stream.
        begun: runs in the order in which they were handed out.
        ended: run → its last score, of those that were finished.
    """

    counts: Counter = field(default_factory=Counter)
    of_run: Counter = field(default_factory=Counter)
    begun: list[str] = field(default_factory=list)
    ended: dict[str, float] = field(default_factory=dict)

    def most(self, kind: str, seconds: int) -> float:
        """Requests of a kind in a second, on average over the busiest ``seconds``."""
        blocks: Counter = Counter()
        for (name, second), count in self.counts.items():
            if name == kind:
                blocks[second // seconds] += count
        return max(blocks.values()) / seconds


class Agents:
    """Agents that run until enough of their trials are finished; some trials crash.

    Args:
        url: the server's.
        sweep: id of the sweep.
        crash: the share of trials that stop in the middle without a word.
    """

    def __init__(self, url: str, sweep: str, count: int, agents: int, crash: float) -> None:
        self.url, self.sweep, self.left, self.crash = url, sweep, count, crash
        self.sent, self.draw, self.session = Sent(), Random(0), requests.Session()
        self.events: list[tuple[float, int, Any, tuple[Any, ...]]] = []
        for number in range(agents):  # they are not started at the same moment
            self._at(number * ASKS / agents, self._register, number)

    def run(self) -> Sent:
        """Run them all; returns what they have sent."""
        while self.events:
            now, _, work, arguments = heapq.heappop(self.events)
            work(now, *arguments)
        return self.sent

    def _at(self, time: float, work: Any, *arguments: Any) -> None:
        heapq.heappush(self.events, (time, len(self.events) + self.draw.getrandbits(40), work, arguments))

    def _ask(self, now: float, kind: str, query: str, **variables: Any) -> dict[str, Any]:
        self.sent.counts[kind, int(now)] += 1
        answer = self.session.post(f"{self.url}/graphql", json={"query": query, "variables": variables})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def _register(self, now: float, number: int) -> None:
        query = "mutation CreateAgent { createAgent(input: {}) { agent { id } } }"
        self._ask(now, "registration", query, sweep=self.sweep, host=f"host{number}")
        self._idle(now, number)

    def _beat(self, now: float, running: dict[str, bool]) -> list[dict[str, Any]]:
        query = "mutation Heartbeat { agentHeartbeat(input: {}) { agent { id } commands } }"
        found = self._ask(now, HEARTBEAT, query, id=self.sweep, runState=json.dumps(running))
        return json.loads(found["agentHeartbeat"]["commands"])

    def _idle(self, now: float, number: int) -> None:
        if self.left <= 0:
            return
        (command,) = self._beat(now, {})
        assert command["type"] == "run", command
        run = command["run_id"]
        self.sent.begun.append(run)
        config = {name: {"value": value["value"]} for name, value in command["args"].items()}
        query = "mutation UpsertBucket { upsertBucket(input: {}) { bucket { id name } inserted } }"
        for _ in range(2):  # the client sends the config once more after it has begun
            self._ask(now, CREATES, query, name=run, sweep=self.sweep, config=json.dumps(config), program="trial")
        self.left -= 1  # until it crashes
        ends = now + self.draw.uniform(40, 80)
        last = 1 + self.draw.randrange(CELLS) if self.draw.random() < self.crash else None
        if last:
            self.left += 1
        judged = [(now + (ends - now) * cell / CELLS, cell) for cell in range(1, last or CELLS + 1)]
        heard, tick = now, now + SENDS
        while tick < ends:
            cells = [cell for time, cell in judged if tick - SENDS < time <= tick]
            if cells or tick - heard >= LIVES:
                self._at(tick, self._send, run, cells, {})
                heard = tick
            tick += SENDS
        if not last:
            cells = [cell for time, cell in judged if time > tick - SENDS]
            self._at(ends, self._end, run, cells)
        self._at(now + ASKS, self._wait, number, run, ends + 1)

    def _wait(self, now: float, number: int, run: str, ends: float) -> None:
        if now > ends:
            self._idle(now, number)
        else:
            self._beat(now, {run: True})
            self._at(now + ASKS, self._wait, number, run, ends)

    def _send(self, now: float, run: str, cells: list[int], more: dict[str, Any]) -> None:
        """What was judged since the last request; none of it is a sign of life."""
        lines = [
            json.dumps({"_step": cell - 1, "cells": cell, "of": CELLS, "objective": float(cell), "psr": 50.0,
                        "psnr": 28.0, "seconds_per_image": 1.0}) for cell in cells
        ]  # fmt: skip
        files = {"wandb-history.jsonl": {"offset": cells[0] - 1, "content": lines},
                 "wandb-summary.json": {"offset": 0, "content": lines[-1:]}} if cells else {}  # fmt: skip
        self._stream(now, run, {"files": files, **more})

    def _end(self, now: float, run: str, cells: list[int]) -> None:
        self._send(now, run, cells, {"complete": True, "exitcode": 0})
        self.sent.ended[run] = float(CELLS)

    def _stream(self, now: float, run: str, content: dict[str, Any]) -> None:
        self.sent.counts[FILES, int(now)] += 1
        self.sent.of_run[run, int(now)] += 1
        assert self.session.post(f"{self.url}/files/team/facecloak/{run}/file_stream", json=content).status_code == 200


def register(url: str, content: dict[str, Any]) -> str:
    """Make a sweep of a file's content; returns its id."""
    query = "mutation UpsertSweep { upsertSweep(input: {}) { sweep { name } configValidationWarnings } }"
    variables = {"config": yaml.safe_dump(content)}
    answer = requests.post(f"{url}/graphql", json={"query": query, "variables": variables}).json()
    return answer["data"]["upsertSweep"]["sweep"]["name"]
