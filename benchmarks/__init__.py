"""Benchmarks: ratios within one run, on this machine's embedded Postgres. `make bench` runs them all."""
