"""W&B's agent as `python -m wandb agent` runs it, but it looks at its trial every fifth of a second, not every five."""

from wandb.cli.cli import cli
from wandb.wandb_agent import Agent

Agent.POLL_INTERVAL = 0.2
cli()
