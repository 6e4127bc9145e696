"""How a trial can end: the same words at Weights & Biases and here, and the exit status of its process for each."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.processes import was_terminated
from facecloak.cli.guard import is_out_of_memory

FINISHED, EARLY, PREEMPTED = "finished", "ended early", "preempted"
INTERRUPTED, FAILED, MEMORY = "interrupted", "failed", "out of memory"
STATUS = {FINISHED: 0, EARLY: 0, PREEMPTED: 143, INTERRUPTED: 130, FAILED: 1, MEMORY: 137}
SAID = {PREEMPTED: "was preempted", INTERRUPTED: "was interrupted", FAILED: "failed", MEMORY: "ran out of memory"}
END = "end"  # attribute of a trial, and name in the summary of its run at W&B: the word
AGAIN = (PREEMPTED, INTERRUPTED)  # such a trial goes on where it stopped when it is started again


def end_of(error: BaseException | None) -> str:
    """The word for a trial that ended with an error, or without one.

    Whether the engine wanted its end, so that it `EARLY` instead of `PREEMPTED`, only the engine knows.
    """
    if error is None:
        return FINISHED
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return PREEMPTED if was_terminated(error) else INTERRUPTED
    return MEMORY if is_out_of_memory(error) else FAILED


def end_of_run(state: str, summary: dict[str, Any]) -> str:
    """The word for a run of W&B that has ended without a score that counts.

    Its process may have written another one to the summary: it ended well, but W&B did not get its end.
    """
    if summary.get(END) in SAID:
        return summary[END]
    return {"preempted": PREEMPTED, "killed": INTERRUPTED}.get(state, FAILED)


def end_of_process(status: int) -> str:
    """The word for a trial whose process has ended, from its exit status, or minus the signal that ended it.

    A process that gets SIGKILL was most likely ended by the kernel because there was no memory left.
    """
    known = {value: word for word, value in STATUS.items() if word != EARLY}
    return known.get(status if status >= 0 else 128 - status, FAILED)
