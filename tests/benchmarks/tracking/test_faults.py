"""W&B's server refusing, hanging up, stopping or dying at each endpoint: nothing is lost, doubled, or called sent.

All faults of single runs are met by one command, with the real client, so that they cost one start of it.
"""

import os
import re
import socket
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.tracking import folders
from benchmarks.tracking.content import Tracked, find_methods, tracked_method
from tests.benchmarks.tracking.wandb_runs import Run
from tests.benchmarks.tracking.wandb_server import EVERY, Fault, Server
from tests.benchmarks.tracking.written import write_method
from tests.forked import run

CLIENT = {  # W&B's client gives up soon
    **{f"WANDB__{kind}_RETRY_MAX": "1" for kind in ("GRAPHQL", "FILE_STREAM", "FILE_TRANSFER")},
    **{f"WANDB__{kind}_RETRY_WAIT_{end}_SECONDS": "0.1" for kind in ("GRAPHQL", "FILE_STREAM", "FILE_TRANSFER")
       for end in ("MIN", "MAX")},
    **{f"WANDB_{name}": "5" for name in ("HTTP_TIMEOUT", "FILE_PUSHER_TIMEOUT", "_FILE_STREAM_TIMEOUT_SECONDS")},
    "WANDB__FILE_STREAM_TRANSMIT_INTERVAL": "1", "WANDB_API_KEY": "0" * 40, "WANDB_MODE": "online",
}  # fmt: skip
# endpoint, how it fails, requests that are answered before
OF_A_RUN = [
    *(("upsertBucket", how, 0) for how in (403, 404, 429, 500, "hangs up", "stops", "dies")),
    *(("createRunFiles", how, 0) for how in (403, "hangs up")),
    *(("file_stream", how, 0) for how in (403, 404, 429, "hangs up", "took it", "stops", "dies")),
    ("file_stream", "dies", 1),
    *(("createArtifact", how, 0) for how in (403, 409, "hangs up", "stops", "dies")),
    *(("createArtifactManifest", how, 0) for how in (403, "dies")),
    *(("createArtifactFiles", how, 0) for how in (403, "hangs up")),
    *(("commitArtifact", how, 0) for how in (403, "took it", "dies")),
    *(("PUT media", how, 0) for how in (403, "hangs up", "stops", "dies")),
    *(("PUT manifest", how, 0) for how in (403, "dies")),
    *(("PUT file", how, 0) for how in (403, "dies")),
    ("outputArtifacts", 403, 0),
    ("deleted", 409, 0),
    ("nothing", None, 0),
]
IDS = [f"{endpoint} {how} {after}" for endpoint, how, after in OF_A_RUN]
DELETED, WELL = len(OF_A_RUN) - 2, len(OF_A_RUN) - 1


class Case(NamedTuple):
    """A method, and what the command said about it: once with its fault, once without, and once more."""

    what: Tracked
    said: list[list[str]]
    whole: list[list[str]]  # ids of runs of which the server has everything


class Told(NamedTuple):
    """The story of all methods."""

    server: Server
    cases: list[Case]
    ended: list[int]
    lines: list[list[str]]
    out: Path
    elsewhere: Path
    asked: list[int]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A method for each case; the last one was written without a network, where the folder was before."""
    top = tmp_path_factory.mktemp("runs")
    out, elsewhere, names = top / "my run", top / "cwd", [f"case{place:02d}" for place in range(len(OF_A_RUN))]
    elsewhere.mkdir()
    with Server() as server:
        environment = {**CLIENT, "WANDB_BASE_URL": server.url, "XDG_DATA_HOME": str(top / "data")}
        write_method(top / "before", {("1", "ada", "bob"): 0.5}, method=names[WELL])
        offline = run("track", top / "before", "--wandb", "offline", "--wandb-images", **environment)
        assert offline.returncode == 0, offline.stderr
        (top / "before").rename(out)
        for name in names[:WELL]:
            write_method(out, {("1", "ada", "bob"): 0.5}, method=name)
        tracked = {method.method: tracked_method(out, each, True) for method, each in find_methods([out]).items()}
        for name, (endpoint, how, after) in zip(names, OF_A_RUN, strict=True):
            server.faults[endpoint, folders.run_id(tracked[name])] = Fault(how, after)
        server.deleted.add(folders.run_id(tracked[names[DELETED]]))
        ended, lines, asked, whole = [], [], [], []
        for _ in range(3):
            done = run("track", out, "--wandb-images", patch=lambda: os.chdir(elsewhere), **environment)
            ended.append(done.returncode)
            lines.append((done.stdout + done.stderr).splitlines())
            asked.append(len(server.asked))
            whole.append([[each for each in folders.ids(tracked[name]) if is_whole(server, each)] for name in names])
            server.recover()
        said = [[[line for line in each if f" {name} (" in line] for each in lines] for name in names]
        cases = [Case(tracked[name], said[place], [each[place] for each in whole]) for place, name in enumerate(names)]
        yield Told(server, cases, ended, lines, out, elsewhere, asked)
    assert server.unknown == []


def is_whole(server: Server, name: str) -> bool:
    """Whether the server has all of a run, each line once."""
    sent = server.runs.get(name)
    kinds = {each["type"] for each in server.artifacts.values() if each["run"] == name and each["committed"]}
    media = [address for address in server.uploads if address.startswith(f"/{name}/media/")]
    return (
        sent is not None and sent.state == "finished" and kinds == {"method", "run_table"}
        and [line.get("loss/loss") for _, line in sorted(sent.history.items())] == [3, 2]
        and sent.summary.get("psr") == 50 and len(media) == 3
    )  # fmt: skip


@pytest.mark.parametrize("place", range(len(OF_A_RUN)), ids=IDS)
def test_what_met_a_fault_is_called_sent_only_if_it_arrived_and_is_sent_later_once(told, place):
    server, (what, said, whole) = told.server, told.cases[place]
    for line, ids in zip(said, whole, strict=True):
        assert len(line) == 1 and re.match(r"(online|error): case", line[0]), line
        assert bool(ids) or not line[0].startswith("online"), line  # whole, but unseen, is called an error
        assert line[0].startswith("online") or f"`facecloak track {told.out} --wandb-images` tries again" in line[0]
    if place == DELETED:
        assert all("deleted" in line[0] for line in said) and not any(whole)
        return
    assert said[1][0].startswith("online") and said[2] == said[1]
    counting = [name for name in folders.ids(what) if name in server.runs and server.runs[name].history
                and "superseded" not in (server.runs[name].about.get("tags") or [])]  # fmt: skip
    assert counting == whole[1] == whole[2] and len(counting) == 1
    steps = [line["_step"] for line in server.runs[counting[0]].history.values()]
    assert sorted(steps) == [0, 1]


def test_faults_are_met(told):
    """Otherwise the table would prove nothing."""
    failed = [said[0][0].startswith("error") for _, said, _ in told.cases]
    harmless = {IDS[place] for place, each in enumerate(failed) if not each}
    assert "nothing None 0" in harmless and len(failed) - len(harmless) >= 25, harmless


def test_the_command_ends_with_a_line_for_each_method_and_says_by_its_status_whether_all_were_sent(told):
    assert told.ended == [1, 1, 1]  # somebody has deleted one
    assert [len(lines) for lines in told.lines] == [len(OF_A_RUN)] * 3
    assert told.asked[2] - told.asked[1] < 10, "what was sent is not asked for again"


def test_nothing_is_left_elsewhere_and_no_path_or_name_of_this_machine_is_sent(told):
    assert not [*told.elsewhere.iterdir()] and not [*told.elsewhere.parent.glob("data/**/staging/*")]
    for private in (str(told.out.parent), "my run", str(Path.home()), socket.gethostname(), os.environ.get("USER")):
        pattern = rb"\b%s\b" % re.escape((private or "my run").encode())
        found = [heard for heard in told.server.heard if re.search(pattern, heard)]
        assert not found, f"{private!r} was sent: {found[0][:2000]}"


def test_a_run_that_was_deleted_is_sent_when_it_is_undeleted(told):
    name = folders.run_id(told.cases[DELETED].what)
    told.server.deleted.clear()
    told.server.runs[name] = Run(name)
    done = run("track", told.out, "--wandb-images", **CLIENT, WANDB_BASE_URL=told.server.url)
    assert done.returncode == 0, done.stderr
    assert len([each for each in folders.ids(told.cases[DELETED].what) if is_whole(told.server, each)]) == 1


OF_ALL = [
    ("viewer", 403, 0),
    ("runs", 429, 0),
    ("runs", "dies", 0),
    ("runs", "dies", 1),  # after the run was sent
    ("run", 403, 0),  # when the earlier run is to be tagged
]


def test_a_server_that_fails_for_everything_loses_and_doubles_nothing(tmp_path):
    with Server() as server:

        def track(seconds=20):
            limits = {"WANDB_BASE_URL": server.url, "WANDB_FINISH_TIMEOUT": str(seconds)}
            done = run("track", tmp_path, **CLIENT, **limits)
            (line,) = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("wandb: ")]
            return done.returncode, line

        write_method(tmp_path, {("1", "ada", "bob"): 0.5})
        assert track()[0] == 0
        write_method(tmp_path, {("1", "bob", "ada"): 0.7})  # more results of the same method
        for endpoint, how, after in OF_ALL:
            server.faults[endpoint, EVERY] = Fault(how, after)
            status, line = track(20 if after or endpoint == "run" else 2)
            assert status == 1 and line.startswith("error: pgd (") and "tries again" in line, (endpoint, how, line)
            assert after or endpoint == "run" or len(server.runs) == 1, (endpoint, how)
            server.recover()
        status, line = track()
        assert status == 0 and line.startswith("online: pgd (")
        earlier, *attempts = server.runs.values()
        (later,) = [each for each in attempts if "superseded" not in each.about["tags"]]
        assert "superseded" in earlier.about["tags"] and later.summary["psr"] == pytest.approx(60)
        assert [len(each.history) for each in (earlier, later)] == [2, 2]
        assert not [*(tmp_path / "wandb" / "superseded").iterdir()]
