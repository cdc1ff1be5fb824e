"""The Postgres sink beside other ways to keep the newest row of each user: their rates, and the rows that they keep."""
