"""Can results be believed: what every file of a run must hold, and what runs must agree on."""
