"""The Postgres sink beside other ways to keep the newest row of each user: rates, and who keeps the right row."""
