"""Tables, plots and the page: pure functions of results."""
