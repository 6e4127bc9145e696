"""The command line, in which one process of a run is killed when it writes its first picture.

If that is the first process, the others hang when they write theirs.
"""

import os
import signal
import sys
import threading

from benchmarks.harness import predict
from facecloak.cli.main import main

RANK = "RANK_THAT_DIES"  # environment


def die(*arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(*arguments: object) -> None:
    threading.Event().wait()


if __name__ == "__main__":
    own, dying = os.environ.get("LOCAL_RANK", "0"), os.environ[RANK]
    if own == dying:
        predict.write_outcome = die
    elif dying == "0":
        predict.write_outcome = hang
    sys.exit(main())
