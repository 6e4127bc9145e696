"""The command line, in which the first process is killed when it writes a picture, and the others hang when they do."""

import os
import signal
import sys
import threading

from benchmarks.harness import predict
from facecloak.cli.main import main


def die_or_hang(*arguments: object) -> None:
    if os.environ["LOCAL_RANK"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()


if __name__ == "__main__":
    predict.write_outcome = die_or_hang
    sys.exit(main())
