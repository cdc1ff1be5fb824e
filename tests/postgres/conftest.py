from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from pipeline.settings import Database
from pipeline.sinks.postgres import PostgresSink, connect


@pytest.fixture
def database(postgres_url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection of the test's own, to look at the database and to get in the sink's way."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def make_sink(postgres_url: str) -> Iterator[Callable[..., PostgresSink]]:
    """Return a function that makes sinks on the test's database; arguments are libpq parameters."""
    made: list[PostgresSink] = []

    def make(**session: Any) -> PostgresSink:
        made.append(PostgresSink(lambda: connect(Database(url=postgres_url), **session)))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


@pytest.fixture
def sink(make_sink: Callable[..., PostgresSink]) -> PostgresSink:
    return make_sink()
