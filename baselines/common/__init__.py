"""What several baselines use: how different two pictures look, random numbers of a photo, directions of steps."""
