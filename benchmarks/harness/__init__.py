"""Makes protected pictures and judges them from their files."""
