"""A trial that W&B hands out again goes on from its finished protections, whichever macro types its arguments."""

import json
import os
import signal

import pytest
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args
from wandb.sdk.lib.config_util import save_config_file_from_dict

from benchmarks.sweep import trial
from benchmarks.sweep.command import MACROS
from benchmarks.tracking import sweeps  # noqa: F401 (here, so that the forked trials need not import it)
from tests.benchmarks.tracking.test_faults import CLIENT
from tests.benchmarks.tracking.test_trial_ends import VALUES, cells
from tests.benchmarks.tracking.wandb_server import Server
from tests.forked import Forked

OUTCOMES = "protections/*/outcomes/*.json"


def typed(macro, args, folder):
    """The words that W&B's agent puts in the place of a macro."""
    words = create_sweep_command_args({"args": args})
    if macro == "${args_json_file}":
        (folder / "config.json").write_text(words["args_json"][0])
        return [str(folder / "config.json")]
    return words[macro[2:-1]]


def test_a_trial_of_json_that_is_handed_out_again_makes_nothing_again(toys, tmp_path):
    head = [str(toys), "--methods=pgd", "--black-box=ada,bob", "--limit=2", f"--out={tmp_path / 'out'}"]
    whole = trial.run_trial

    def stopped_after_a_cell(arguments, report):
        def reported(*about):
            report(*about)
            os.kill(os.getpid(), signal.SIGTERM)

        return whole(arguments, reported)

    with Server() as server:
        server.sweeps.content["sweep1"] = {"method": "grid", "parameters": {}, "program": "x"}
        server.sweeps.given["trial1"] = ("sweep1", VALUES)

        def begin(args, work):
            save_config_file_from_dict(str(tmp_path / "parameters.yaml"), args)

            def target():
                trial.run_trial = work
                return trial.main([*head, *typed("${args_json_file}", args, tmp_path)])

            return Forked(
                target, **CLIENT, WANDB_BASE_URL=server.url, WANDB_SWEEP_ID="sweep1", WANDB_RUN_ID="trial1",
                WANDB_ENTITY="team", WANDB_PROJECT="facecloak", WANDB_DIR=str(tmp_path), WANDB_FINISH_TIMEOUT="20",
                WANDB_SWEEP_PARAM_PATH=str(tmp_path / "parameters.yaml"),
            ).wait()  # fmt: skip

        first = begin(VALUES, stopped_after_a_cell)
        assert first.returncode == 143 and server.runs["trial1"].state == "preempted", first.stderr
        (folder,) = (tmp_path / "out").iterdir()
        made = {path: path.stat().st_mtime_ns for path in folder.glob(OUTCOMES)}
        (order,) = json.loads(server.sweeps.heartbeat({"id": "sweep1", "runState": "{}"})["commands"])
        assert order["type"] == "resume" and {"_wandb", "arguments", "suite", "versions", *VALUES} < {*order["args"]}
        again = begin(order["args"], whole)
        assert again.returncode == 0, again.stderr
        run = server.runs["trial1"]
        assert (run.state, run.summary["end"], cells(run)) == ("finished", "finished", [1, 2])
        assert [*(tmp_path / "out").iterdir()] == [folder]
        now = {path: path.stat().st_mtime_ns for path in folder.glob(OUTCOMES)}
        assert 0 < len(made) < len(now) and all(now[path] == made[path] for path in made)


@pytest.mark.parametrize("macro", MACROS)
def test_what_wandb_adds_moves_no_trial_by_any_macro(toys, tmp_path, macro):
    added = {
        "_wandb": {"value": {"cli_version": "0.31"}}, "arguments": {"value": [str(toys), "--pgd.epsilon=9"]},
        "suite": {"value": "toys"}, "floor": {"value": 9.0}, "versions": {"value": {"facecloak": "1"}},
    }  # fmt: skip
    found = set()
    for args in (VALUES, {**added, **VALUES}):
        words = [str(toys), "--methods=pgd", f"--out={tmp_path}", *typed(macro, args, tmp_path)]
        found.add(trial.parse(trial.without_wandbs(trial.plain_words(words)))[0].out)
    assert len(found) == 1
