"""A killed load that goes on ends like an uninterrupted one; ``python -m tests.backfill.killed`` has more points."""

import random
from pathlib import Path

from pipeline.backfill.slices import USERS
from tests.backfill.killed import run


def test_a_load_that_was_killed_ends_with_every_user_once(postgres_url: str, tmp_path: Path) -> None:
    repeated = run(postgres_url, tmp_path, users=5 * USERS, points=2, rng=random.Random(7))
    assert repeated.most <= USERS
    assert repeated.users <= 2 * USERS
