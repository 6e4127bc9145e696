"""A process of W&B's agent, which is ended when W&B gives it nothing to do for long.

An agent whose server refuses it or has stopped asks for ever and says nothing; so does one of a sweep that is paused.
"""

from __future__ import annotations

import re
import subprocess
import sys
from threading import Thread
from time import monotonic

PATIENCE = 600.0  # seconds
REPORTS = 30  # seconds between two lines in which the agent says what it runs
RUNNING = re.compile(r"Running runs: \[(.*)\]")


class Agent:
    """Starts an agent. What it and its trials write to standard error is passed on line by line.

    Attributes:
        process: of the agent.
        was_idle: it had nothing to do for `PATIENCE` seconds, and was ended.
    """

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.was_idle = False
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, errors="replace",
            env={**environment, "WANDB_AGENT_REPORT_INTERVAL": str(REPORTS)},
        )  # fmt: skip
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self) -> bool:
        """Wait for its end; returns whether it failed."""
        status = self.process.wait()
        self._reader.join(1)  # processes that outlive the agent may keep its standard error open
        return status != 0 and not self.was_idle

    def _read(self) -> None:
        since = None
        for line in self.process.stderr:
            found = RUNNING.search(line)
            if found is None:
                sys.stderr.write(line)
                sys.stderr.flush()
            elif found[1]:
                since = None
            elif since is None:
                since = monotonic()
            elif monotonic() - since > PATIENCE and not self.was_idle:
                self.was_idle = True
                self.process.terminate()
