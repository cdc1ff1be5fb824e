"""Items that no sink of today writes must not keep the others from being found."""

from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.stores.dynamodb import DynamoDBStore


class Table:
    """A table of one page."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def get_paginator(self, _name: str) -> "Table":
        return self

    def paginate(self, **_request: Any) -> Iterator[Any]:
        yield {"Items": self.items}


@pytest.mark.parametrize("profile", ["no json", "[]", "1", "[" * 100_000 + "]" * 100_000])
def test_an_unreadable_profile_hides_nobody(profile: str) -> None:
    odd = {"user_id": {"S": "auth0|odd"}, "profile": {"S": profile}}
    ada = {"user_id": {"S": "auth0|ada"}, "profile": {"M": {"email": {"S": "ada@acme.example"}}}}
    table: Any = Table(odd, ada)
    assert DynamoDBStore(table, "users").find("ADA@acme.example") == ["auth0|ada"]
