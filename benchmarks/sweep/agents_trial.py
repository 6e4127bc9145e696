"""A trial that W&B's agent started: it reports to W&B, and W&B learns how it ended.

SIGTERM can mean that the server wants its end, or that the machine is needed for something else. In the second case,
and after Ctrl-C, the run is marked as preempted: W&B then hands out the same parameters again, and the trial goes on
from the protections that are finished.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pytorch_lightning.utilities.rank_zero import rank_zero_only

from benchmarks.harness.processes import ignoring_interruptions, terminated_by_sigterm
from benchmarks.sweep.ends import AGAIN, EARLY, PREEMPTED, STATUS, end_of
from benchmarks.sweep.notes import noted, typed

OWN = ("suite", "arguments", "versions")  # what a trial adds to the parameters in its run's config
WANDBS = ("_wandb", *OWN)  # arguments that W&B adds when it hands out the parameters of a preempted trial again


def is_agents_trial() -> bool:
    """Whether W&B's agent started this process, which is then the first one of a trial."""
    return "WANDB_SWEEP_ID" in os.environ and rank_zero_only.rank == 0


def leave_the_job() -> None:
    """Forget SLURM's variables, unless this process was started by the first one of its trial.

    ``srun -n4 wandb agent`` starts four agents, each with trials of its own; Lightning would take an agent's number for
    its trial's rank in a trial of four processes.
    """
    if "WANDB_SWEEP_ID" in os.environ and "LOCAL_RANK" not in os.environ:
        for name in [name for name in os.environ if name.startswith("SLURM_")]:
            del os.environ[name]
        rank_zero_only.rank = 0


def without_wandbs(arguments: list[str]) -> list[str]:
    """The arguments of a trial without those that W&B has added."""
    return [text for text in arguments if text.removeprefix("--").partition("=")[0] not in WANDBS]


def run_agents_trial(
    config: dict[str, Any],
    run: Callable[[Callable[[int, int, dict[str, float]], None]], dict[str, float]],
    say: Callable[[str], None],
) -> tuple[str, dict[str, float]]:
    """Run a trial and report it; returns the word for how it ended, and its score, if it was not ended before.

    Args:
        config: what W&B gets besides the parameters, among it the trial's ``arguments``.
        run: runs the trial; its argument is called after each judgement.
        say: called with a line if W&B does not answer, or did not get all.
    """
    from benchmarks.tracking.sweeps import trial_run  # a second, which other trials need not wait

    with noted(config["arguments"]) as note, terminated_by_sigterm(), trial_run(config, say) as report:
        error, values = None, {}
        try:
            values = run(report.report)
        except BaseException as found:
            error = found
        with ignoring_interruptions():  # the agent and the machine may each send a signal
            word = end_of(error)
            if word == PREEMPTED and report.is_unwanted():
                word = EARLY
            report.end(word, STATUS[word], again=word in AGAIN)
            if report.has_arrived():
                note.unlink()
            else:
                say(f"Weights & Biases does not have all of this trial; `facecloak sweep` sends it when typed again, "
                    f"and so does: {typed(note)}")  # fmt: skip
    if error is not None and word not in (EARLY, *AGAIN):
        raise error
    return word, values
