"""The chaos test: traffic through the whole local stack while its parts are killed, stopped, filled or changed by hand.

``python -m tests.chaos --scenario postgres-killed --seed 1``, or ``make chaos`` for all scenarios.
"""
