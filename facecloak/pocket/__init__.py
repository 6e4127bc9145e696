"""The embedded default: procedural portraits of people who do not exist, and the models trained on them."""
