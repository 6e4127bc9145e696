"""A trial as W&B sees it, without the work and without PyTorch: two judgements, reported by the real client."""

import sys

import wandb

quiet = wandb.Settings(silent=True, console="off", x_disable_meta=True, x_disable_stats=True)
given = dict(argument.removeprefix("--").partition("=")[::2] for argument in sys.argv)
with wandb.init(job_type="trial", config={"arguments": sys.argv}, settings=quiet) as run:
    for cell in (1, 2):
        psr = float(given["pgd.epsilon"]) + cell
        run.log({"cells": cell, "of": 2, "objective": psr, "psr": psr, "psnr": 30.0, "seconds_per_image": 0.1})
