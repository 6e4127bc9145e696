"""What is on disk: protections, judgements, their records and rows. Knows JSON and files, not suites or torch."""
