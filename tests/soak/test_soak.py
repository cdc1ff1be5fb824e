"""A small soak in every run of the tests; ``make soak`` is the long one."""

from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.emulator.support import Aws, users_table
from tests.soak.soak import soak


def test_any_history_ends_as_the_model_in_both_stores(postgres_url: str) -> None:
    with soak(postgres_url) as running:
        # A number of its own for each example, so that no example meets the users of another.
        examples = iter(range(1_000_000))

        # A seed, and not Hypothesis' own random numbers: what is delivered again, and so what is drawn, depends on
        # which of the concurrent writers comes first, and Hypothesis wants to draw the same each time.
        @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.integers(0, 2**32))
        def property_holds(seed: Any) -> None:
            running.check(Random(seed), f"{next(examples)}.")

        property_holds()


def test_histories_in_small_chunks_end_as_the_model_does(postgres_url: str) -> None:
    with soak(postgres_url) as running:
        for seed in range(100):
            running.check(Random(seed), f"{seed}.", chunk=1)
        running.check_total()


def test_the_emulator_ends_as_the_model_does(postgres_url: str, aws: Aws) -> None:
    client = aws.client("dynamodb")
    table = users_table(client)
    with soak(postgres_url, client, table) as running:
        for seed in range(15):
            running.check(Random(seed), f"{seed}.")
        running.check_total()
    client.close()
