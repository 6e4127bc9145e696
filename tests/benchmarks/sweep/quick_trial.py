"""A trial as a sweep sees it, without the work: three judgements, reported as `benchmarks.sweep.trial` reports them.

More epsilon protects better and looks worse. After its second judgement, the first at which W&B's hyperband compares, a
trial waits while there is a pipe called ``hold`` in the sweep's folder, unless it is the very first trial.
"""

import hashlib
import json
import signal
import sys
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Judge three times, unless that has been done; report."""
    signal.alarm(120)  # so that no trial waits for ever
    given = dict(argument.removeprefix("--").partition("=")[::2] for argument in arguments)
    epsilon, out = float(given["pgd.epsilon"]), Path(given["out"])
    is_first = not [*out.glob("*/*")]
    run = out / hashlib.sha256("".join(sorted(arguments)).encode()).hexdigest()[:12]
    psnr = 60 - epsilon / 2
    values = {"psr": epsilon, "psnr": psnr, "seconds_per_image": 0.1}
    values["objective"] = epsilon - 20 * max(0.0, float(given["floor"]) - psnr)
    for cell in (1, 2, 3):
        judgement = run / "protections" / "pgd" / "judgements" / "none" / str(cell) / "judgement.json"
        judgement.parent.mkdir(parents=True, exist_ok=True)
        judgement.write_text("{}")
        print(json.dumps({"cell": cell, "cells": 3, **values}), flush=True)
        if cell == 2 and not is_first and (out.parent / "hold").exists():
            (out.parent / "hold").read_bytes()  # until another process has opened and closed it


main(sys.argv[1:])
