"""The stand-in for W&B's server: its answers are those that are known of the server."""

import json

import pytest
import yaml

from tests.benchmarks.tracking.wandb_runs import Run
from tests.benchmarks.tracking.wandb_server import EVERY, Fault, Server

CONTENT = {
    "program": "x", "method": "grid", "metric": {"name": "objective", "goal": "maximize"},
    "parameters": {"a": {"values": [1, 2]}}, "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 3},
}  # fmt: skip


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def sweeps(server):
    server.sweeps.upsert({"config": yaml.safe_dump(CONTENT)})
    return server.sweeps


def heartbeat(sweeps, *running):
    answer = sweeps.heartbeat({"id": "sweep1", "runState": json.dumps(dict.fromkeys(running, True))})
    return [(each["type"], each.get("run_id")) for each in json.loads(answer["commands"])]


def begin(server, name, *scores):
    run = server.runs[name] = Run(name)
    run.sweep, run.history = "sweep1", {place: {"objective": score} for place, score in enumerate(scores)}
    return run


@pytest.mark.parametrize(
    "sent, state",
    [
        ([], "running"),
        ([{"preempting": True}], "preempting"),
        ([{"complete": True, "exitcode": 0}], "finished"),
        ([{"complete": True, "exitcode": 1}], "failed"),
        ([{"complete": True, "exitcode": 254}], "crashed"),
        ([{"complete": True, "exitcode": 255}], "killed"),
        ([{"preempting": True}, {"complete": True, "exitcode": 143}], "preempted"),
        ([{"preempting": True}, {"complete": True, "exitcode": 0}], "finished"),
    ],
)
def test_the_state_of_a_run_follows_from_its_end(sent, state):
    run = Run("a")
    for each in sent:
        run.stream(each)
    assert run.state == state and run.node("state")["state"] == state
    run.is_silent = True
    assert run.state == ("crashed" if run.ended is None else state)


def test_lists_come_in_pages_and_with_the_fields_that_are_asked_for(server):
    for number in range(5):
        server.runs[f"run{number}"] = Run(f"run{number}")
    query, found, cursor = "query { project { runs(after: $cursor) { edges { node { state } } } } }", [], None
    while True:
        page = server.answer("runs", query, {"perPage": 2, "cursor": cursor})["project"]["runs"]
        found += [edge["node"] for edge in page["edges"]]
        cursor = page["edges"][-1]["cursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert [each["name"] for each in found] == [f"run{number}" for number in range(5)]
    assert set(found[0]) == {"id", "name", "project", "projectId", "state"}


def test_trials_and_stops_are_those_of_wandbs_engine(server, sweeps):
    assert heartbeat(sweeps) == [("run", "trial1")] and heartbeat(sweeps) == [("run", "trial2")]
    assert [values["a"]["value"] for _, values in sweeps.given.values()] == [1, 2]
    begin(server, "trial1", 50, 60, 70)
    bad = begin(server, "trial2", 10)
    assert heartbeat(sweeps, "trial1", "trial2") == []
    bad.history[1] = {"objective": 11}
    assert heartbeat(sweeps, "trial1", "trial2") == [("stop", "trial2")] and sweeps.stops_by_stream(bad)


def test_a_grid_that_is_used_up_ends_its_agents_and_takes_no_more(server, sweeps):
    for name in ("trial1", "trial2"):
        assert heartbeat(sweeps) == [("run", name)]
        begin(server, name, 1).ended = 0
    assert heartbeat(sweeps) == [("exit", None)]
    assert sweeps.create_agent({"sweep": "sweep1", "host": ""}) == 400
    assert sweeps.node("sweep1", "")["state"] == "FINISHED"


def test_a_preempted_run_is_handed_out_again_with_all_of_its_config(server, sweeps):
    heartbeat(sweeps)
    run = begin(server, "trial1", 1)
    run.config = {"_wandb": {"value": {}}, "a": {"value": 1}}
    run.stream({"preempting": True})
    run.stream({"complete": True, "exitcode": 143})
    answer = json.loads(sweeps.heartbeat({"id": "sweep1", "runState": "{}"})["commands"])
    assert [(each["type"], each["run_id"], sorted(each["args"])) for each in answer] == [
        ("resume", "trial1", ["_wandb", "a"])
    ]
    assert heartbeat(sweeps) == [("run", "trial2")]


def test_a_fault_hits_the_requests_that_it_names(server):
    server.faults["file_stream", "a"] = Fault(403, after=1)
    server.faults["runs", EVERY] = Fault("dies")
    assert [server.fault("file_stream", name) for name in ("a", "b", "a", "a")] == [None, None, 403, 403]
    assert server.fault("viewer", None) is None and server.fault("runs", None) == "dies"
    assert server.fault("viewer", None) == "dies"
    server.recover()
    assert server.fault("viewer", None) is None
