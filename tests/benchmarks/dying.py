"""The command line, in which every process but the first is killed when it writes its first picture."""

import os
import signal
import sys

from benchmarks.harness import predict
from facecloak.cli.main import main


def die(*arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if os.environ.get("LOCAL_RANK", "0") != "0":
        predict.write_outcome = die
    sys.exit(main())
