"""Search for settings: sweep files, trials, the local engine and W&B's agents."""
