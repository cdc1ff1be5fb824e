"""The soak: random histories in any delivery, with faults, until both stores and a model are equal.

``python -m tests.soak --histories 10000``, or ``make soak``.
"""
