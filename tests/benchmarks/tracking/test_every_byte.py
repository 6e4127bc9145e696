"""Every byte that a whole benchmark and a whole sweep send: no face, path, user or host, unless a flag asked for it.

All of it is real but the server: the command, the process that sends, W&B's client, its agent, and the trial.
"""

import base64
import binascii
import json
import os
import re
import socket
import subprocess
import zlib
from pathlib import Path

import pytest
import yaml
from wandb import wandb_agent

from benchmarks.sweep import agent, report, trial
from facecloak.io import read_image
from tests.benchmarks.tracking.test_faults import CLIENT
from tests.benchmarks.tracking.test_sweep_faults import ForkedAgent
from tests.benchmarks.tracking.wandb_server import Server
from tests.forked import Forked, run
from tests.toys import SIZE, write_suite

USER, HOME, OUT = "jane-roe", "janes home", "janes run"
PICTURES = {
    "PNG": rb"\x89PNG\r\n", "JPEG": rb"\xff\xd8\xff[\xdb\xe0-\xef]", "WebP": rb"RIFF....WEBP",
    "NumPy": rb"\x93NUMPY", "ZIP": rb"PK\x03\x04", "address": rb"data:image",
}  # fmt: skip
ABOUT = rb'"(host|hostname|username|email|executable|codePath|codePathLocal|root|docker|git)\\*" ?: ?\\*"[^"\\]+'
GUIDE = Path(__file__).parents[3] / "benchmarks" / "tracking" / "README.md"
# what that document says cannot be hidden
KNOWN = {"createAgent": {"host", "about"}, "upsertSweep": {"folder"}}


class ForkedTrial:
    """A trial of W&B's agent in place of a process that is started."""

    def __init__(self, command, env, **_):
        self.stdin = open(os.devnull, "w")  # noqa: SIM115
        self.forked, self.status = Forked(lambda: trial.main(command[4:]), **env), None

    def poll(self):
        if self.status is None:
            self.status = self.forked.wait().returncode
        return self.status

    def wait(self, timeout=None):
        return self.poll()


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """(endpoint, request) of all requests of both, and what must not be in them."""
    top = tmp_path_factory.mktemp("private")
    home = top / HOME
    toys = write_suite(home / "janes toys")
    (home / "sweep.yaml").write_text(yaml.safe_dump({
        "program": "benchmarks.sweep.trial", "method": "grid", "metric": {"name": "objective", "goal": "maximize"},
        "parameters": {"pgd.epsilon": {"values": [4]}, "pgd.iterations": {"value": 2}},
        "command": ["${env}", "${interpreter}", "-m", "benchmarks.sweep.trial", str(toys), "--methods=pgd",
                    "--black-box=ada", "--limit=2", "--accelerator=cpu", "${args}"],
    }))  # fmt: skip

    def patch():
        os.chdir(home)
        agent.subprocess = type("subprocess", (), {"Popen": ForkedAgent, "PIPE": subprocess.PIPE})
        wandb_agent.subprocess = type("subprocess", (), {**vars(subprocess), "Popen": ForkedTrial})
        report._save = lambda *_: None

    with Server() as server:
        environment = {
            **CLIENT, "WANDB_BASE_URL": server.url, "HOME": str(home), "USER": USER, "LOGNAME": USER,
            "FACECLOAK_WEIGHTS": str(home / "janes toys" / "weights"), "FACECLOAK_SHARED": str(top / "nothing"),
        }  # fmt: skip
        typed = ["benchmark", toys, "--methods", "none,pgd", "--pgd.iterations=2", "--targets", "1", "--out", OUT]
        done = run(*typed, "--wandb", "online", patch=patch, **environment)
        assert done.returncode == 0 and "Not everything" not in done.stderr, done.stderr
        done = run("sweep", "sweep.yaml", "--backend", "wandb", patch=patch, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [each.state for each in server.runs.values()] == ["finished"] * 3 and server.unknown == []
        pixels = [read_image(path)[0].tobytes() for path in sorted((home / "janes toys" / "photos").glob("*.png"))]
        pixels += [read_image(path)[0].tobytes() for path in home.glob(f"{OUT}/protections/*/images/*.png")]
        names = "|".join(map(re.escape, (str(top), HOME, OUT, "janes toys", os.path.expanduser("~"))))
        private = {
            "folder": names.encode(), "user": rf"\b{USER}\b".encode(), "about": ABOUT,
            "host": rb"\b%s\b" % re.escape(socket.gethostname().encode()),
            "pixels": b"|".join(map(re.escape, pixels)), **PICTURES,
        }  # fmt: skip
        yield [(endpoint(each), each) for each in server.heard], private, home / "janes toys" / "photos" / "p0.png"


def endpoint(request):
    found = re.search(rb"\b(createAgent|upsertSweep)\(", request)
    return found[1].decode() if found else ""


def forms(request, depth=3):
    """A request, and what it becomes when text in it is decoded: JSON in JSON, base64, compressed."""
    yield request
    if depth == 0:
        return
    text = re.sub(rb"\\+u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)).encode("utf8", "replace"), request)
    text = re.sub(rb"\\+([\"/])", rb"\1", text)
    if text != request:
        yield text
    for coded in re.findall(rb"[A-Za-z0-9+/_-]{24,}={0,2}", text):
        try:
            plain = base64.b64decode(coded.translate(bytes.maketrans(b"-_", b"+/")) + b"==")
        except (binascii.Error, ValueError):
            continue
        yield from forms(plain, depth - 1)
    for start in re.finditer(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]", request):
        try:
            yield from forms(zlib.decompressobj(47).decompress(request[start.start() :]), depth - 1)
        except zlib.error:
            continue


def found_in(requests, private):
    """(name of what must not be sent, endpoint) → the place around the first one that is not known."""
    seen = {}
    for where, request in requests:
        for form in forms(request):
            for name, pattern in private.items():
                hit = re.search(pattern, form)
                if hit and name not in KNOWN.get(where, ()):
                    seen.setdefault((name, where), form[max(0, hit.start() - 200) : hit.end() + 100])
    return seen


def test_no_byte_that_is_sent_shows_a_face_a_path_a_user_or_a_machine(heard):
    requests, private, _ = heard
    endpoints = [where for where, _ in requests]
    assert endpoints.count("createAgent") == endpoints.count("upsertSweep") == 1 and len(requests) > 40
    assert found_in(requests, private) == {}


def test_what_cannot_be_hidden_is_sent_and_the_document_says_so(heard):
    requests, private, _ = heard
    sent = {(where, name) for where, each in requests if where for name in private if re.search(private[name], each)}
    assert {("createAgent", "host"), ("upsertSweep", "folder")} <= sent
    said = " ".join(GUIDE.read_text().split())
    assert "the name of the machine, if you run a sweep with W&B's agents" in said
    assert "the content of a sweep file as you wrote it, with the paths in its `command`" in said


HIDDEN = b'{"row": "janes run", "of": "jane-roe"}'


@pytest.mark.parametrize("form", [
    HIDDEN, json.dumps({"config": json.dumps({"a": HIDDEN.decode()})}).encode(), base64.b64encode(HIDDEN),
    b"x" + zlib.compress(HIDDEN), b'{"a": "' + base64.b64encode(zlib.compress(HIDDEN)) + b'"}',
    json.dumps({"a": "jane\\u002droe in janes\\u0020run"}).encode(),
])  # fmt: skip
def test_what_is_hidden_is_found(heard, form):
    assert {name for name, _ in found_in([("", form)], heard[1])} == {"folder", "user"}


def test_a_picture_that_is_sent_is_found(heard):
    _, private, photo = heard
    row = read_image(photo)[0].tobytes()
    assert len(row) == 3 * SIZE
    for content, names in ((photo.read_bytes(), {"PNG"}), (row, {"pixels"}), (zlib.compress(row), {"pixels"})):
        for form in (content, b'{"a": "' + base64.b64encode(content) + b'"}'):
            assert {name for name, _ in found_in([("", b"x" + form)], private)} == names
