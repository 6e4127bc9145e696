"""The HTTP side of the stand-in for W&B's server: bodies in, JSON out; a dead server hangs up."""

from __future__ import annotations

import gzip
import json
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

    def do_PUT(self) -> None:
        body = self._body()
        if self.server.dies(self.path):
            self.close_connection = True
            return
        self.server.uploads[self.path] = body
        self._send({})

    def do_POST(self) -> None:
        body = self._body()
        if self.server.dies(body.decode() if self.path == "/graphql" else self.path):
            self.close_connection = True
            return
        if self.path == "/graphql":
            asked = json.loads(body)
            found = self.server.answer(" ".join(asked["query"].split()), asked.get("variables") or {})
            self._send({"data": found} if found else {"data": None, "errors": [{"message": "unknown query"}]})
        elif self.path.endswith("/file_stream"):
            self.server.stream(self.server.runs[self.path.split("/")[4]], json.loads(body))
            self._send({"exitcode": None, "limits": {}})
        else:
            self._send({})
