"""What is sent, as a server understands it that nobody here wrote: openwandb, if it is installed.

It is only a tool for this test (its licence is non-commercial): `pip install openwandb` in any environment, and its
program on $PATH or named by $OPENWANDB. It has no sweeps, and no answers to W&B's questions about what it has.
"""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing

import pytest

from benchmarks.tracking import folders, sending
from benchmarks.tracking.content import tracked_method
from tests.benchmarks.tracking.test_faults import CLIENT
from tests.benchmarks.tracking.written import write_method
from tests.forked import Forked

PROGRAM = os.environ.get("OPENWANDB") or shutil.which("openwandb")
KEY = "local" + 40 * "0"
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="openwandb is not installed: pip install openwandb")


@pytest.fixture
def server(tmp_path):
    """Its address and its database."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = tmp_path / "data"
    command = [PROGRAM, "serve", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(data)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/").close()
                except urllib.error.HTTPError:
                    break
                except OSError:
                    assert process.poll() is None, "openwandb has ended"
                    time.sleep(0.1)
                else:
                    break
            yield f"http://127.0.0.1:{port}", data
        finally:
            process.kill()


def rows(data, query):
    (file,) = [*data.rglob("*.db"), *data.rglob("*.sqlite*")][:1]
    with closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query)]


def test_another_server_understands_what_is_sent(server, tmp_path):
    url, data = server
    out = tmp_path / "my run"
    what = tracked_method(out, write_method(out, {("1", "ada", "bob"): 0.5}), images=True)

    def send() -> int:
        os.environ.update(CLIENT | {"WANDB_BASE_URL": url, "WANDB_API_KEY": KEY})
        folder = folders.write(what, folders.run_id(what))
        folders.finish([(what, folder)])
        return len(sending.sync(what, [folder]))  # errors that the client saw

    ended = Forked(send).wait()
    assert ended.returncode == 0, ended.stderr
    (run,) = rows(data, "select * from runs")
    assert (run["run_id"], run["state"], run["host"]) == (folders.run_id(what), "finished", "")
    assert json.loads(run["summary_json"])["psr"] == 50 and str(tmp_path) not in json.dumps(run)
    steps = rows(data, "select step, value from metrics where key = 'loss/loss' order by step")
    assert [(row["step"], row["value"]) for row in steps] == [(0, 3), (1, 2)]
    assert sorted(row["artifact_type"] for row in rows(data, "select * from artifacts")) == ["method", "run_table"]
    images = [row for row in rows(data, "select * from files") if row["name"].endswith(".png")]
    assert len([row for row in images if row["name"].startswith("media/images")]) == 2
