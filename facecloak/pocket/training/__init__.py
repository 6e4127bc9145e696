"""How the pocket models are made: `python -m facecloak.pocket.train`."""
