"""The HTTP side of the stand-in for W&B's server: bodies in, JSON out; one that fails refuses, hangs up or waits."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def _body(self) -> bytes:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content
        self.server.heard.append(f"{self.path}\n{self.headers}".encode() + content)
        return content

    def _send(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, text: str) -> None:
        self._send({"data": None, "errors": [{"message": text, "path": [], "extensions": {}}]}, status)

    def _answer(self, endpoint: str, run: str | None, take: Callable[[], dict[str, Any] | int]) -> None:
        """Answer a request, unless something is to go wrong with it."""
        from tests.benchmarks.tracking.wandb_server import TEXTS

        with self.server.lock:
            fault = self.server.fault(endpoint, run)
            found = take() if fault in (None, "took it") else fault
            self.server.lock.notify_all()
        if fault == "stops":
            self.server.answers_again.wait(60)
        if isinstance(found, int):
            self._refuse(found, f"run {run} {TEXTS[found]}" if found == 409 else TEXTS.get(found, "bad request"))
        elif fault is None:
            self._send(found)
        else:
            self.close_connection = True

    def do_PUT(self) -> None:
        body = self._body()
        first, rest = self.path[1:].split("/", 1)
        kind = "PUT manifest" if first == "manifest" else "PUT file" if first in self.server.artifacts else "PUT media"
        artifact = self.server.artifacts.get(rest if first == "manifest" else first)

        def take() -> dict[str, Any]:
            self.server.uploads[self.path] = body
            return {}

        self._answer(kind, artifact["run"] if artifact else first, take)

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/graphql":
            asked = json.loads(body)
            query, given = " ".join(asked["query"].split()), asked.get("variables") or {}
            given = {**given, **given.get("input", {})}
            name, run = self.server.endpoint(query, given)

            def take() -> dict[str, Any] | int:
                found = self.server.answer(name, query, given)
                return found if isinstance(found, int) else {"data": found}

            self._answer(name, run, take)
        elif self.path.endswith("/file_stream"):
            name = self.path.split("/")[4]

            def stream() -> dict[str, Any]:
                run = self.server.runs[name]
                run.stream(json.loads(body))
                return {"exitcode": None, "limits": {}, "stopped": self.server.sweeps.stops_by_stream(run)}

            self._answer("file_stream", name, stream)
        else:
            self._send({})
