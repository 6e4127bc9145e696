"""A trial as W&B's server sees it, without W&B's client, whose start takes seconds: two judgements."""

import json
import os
import sys
import urllib.request


def post(path: str, content: dict) -> None:
    address = os.environ["WANDB_BASE_URL"] + path
    kind = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(address, json.dumps(content).encode(), kind)).close()


typed = dict(argument.removeprefix("--").partition("=")[::2] for argument in sys.argv)
values = {name: json.loads(value) for name, value in typed.items() if "." in name and value}
run = os.environ["WANDB_RUN_ID"]
about = {"name": run, "sweep": os.environ["WANDB_SWEEP_ID"], "program": "trial",
         "config": json.dumps({name: {"value": value} for name, value in values.items()})}  # fmt: skip
post("/graphql", {"query": "mutation { upsertBucket(input: {}) { bucket { id } } }", "variables": about})
score = {"objective": values["pgd.epsilon"], "psr": values["pgd.epsilon"], "psnr": 30.0, "seconds_per_image": 0.1}
lines = [json.dumps({"cells": cell, "of": 2, **score, "end": "finished"}) for cell in (1, 2)]
files = {"wandb-history.jsonl": {"offset": 0, "content": lines},
         "wandb-summary.json": {"offset": 0, "content": lines[-1:]}}  # fmt: skip
post(f"/files/team/facecloak/{run}/file_stream", {"files": files, "complete": True, "exitcode": 0})
