"""Results on disk: protections, judgements, their records and rows. Uses JSON and files, not suites or torch."""
