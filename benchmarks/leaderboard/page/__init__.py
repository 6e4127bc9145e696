"""The leaderboard's page: one HTML file that makes no network requests."""
