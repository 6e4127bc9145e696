"""The leaderboard's plots and picture grids."""
