"""Erase a person from Postgres and DynamoDB: history, their name in others' history, and the tombstones.

A user who is in Auth0 is not erased: the next event would bring them back.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, LiteralString, Protocol

from pipeline import settings
from pipeline.erasure import Place
from pipeline.errors import CommandError
from pipeline.stores.dynamodb import DynamoDBStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ERASED: Final = "erased"
"""Actor of a change whose actor was erased: a person, unlike NULL."""

TOMBSTONE: Final = (
    "its id and the time of the deletion stay, so that a late event does not bring the user back; "
    "--tombstones removes them, best 14 days after the deletion"
)

_FOUND: Final = """
    SELECT
        (SELECT count(*) FROM auth0.users WHERE user_id = %s AND deleted_at IS NULL) AS live,
        (SELECT count(*) FROM auth0.users WHERE user_id = %s AND deleted_at IS NOT NULL) AS tombstones,
        (SELECT count(*) FROM auth0.user_history WHERE user_id = %s) AS history,
        (SELECT count(*) FROM auth0.user_history WHERE actor = %s AND user_id <> %s) AS acted
"""
_HISTORY: Final = """
    WITH gone AS (DELETE FROM auth0.user_history WHERE user_id = %s RETURNING 1) SELECT count(*) AS rows FROM gone
"""
_ACTED: Final = """
    WITH changed AS (
        UPDATE auth0.user_history SET actor = %s, ip = NULL WHERE actor = %s RETURNING 1
    ) SELECT count(*) AS rows FROM changed
"""
_TOMBSTONE: Final = """
    WITH gone AS (DELETE FROM auth0.user_rows WHERE user_id = %s AND deleted_at IS NOT NULL RETURNING 1)
    SELECT count(*) AS rows FROM gone
"""


class StillThere(CommandError):
    """The user still exists in Auth0, according to a store."""


class Statements(Protocol):
    """A runner of statements."""

    def rows(self, query: LiteralString, *parameters: str | int) -> list[dict[str, Any]]:
        """Run a statement, in which each `%s` is a parameter."""


@contextmanager
def owner_from_env(env: Mapping[str, str] = os.environ) -> Iterator[Statements]:
    """Open a transaction that may delete, which commits at the end.

    DATABASE_URL or PG… must sign in as the tables' owner, auth0_migrator. Without them, the master user of CLUSTER_ARN,
    whose secret is MASTER_SECRET_ARN, takes on that role for the transaction.
    """
    if not (env.get("DATABASE_URL") or env.get("PGHOST")) and env.get("CLUSTER_ARN"):
        from pipeline.stores import aurora

        cluster = settings.Cluster.from_env(env, as_master=True)
        with aurora.owning(aurora.client(), cluster) as transaction:
            yield aurora.InTransaction(transaction)
        return

    from pipeline.sinks.postgres import connect_for_people
    from pipeline.stores.server import InTransaction

    database = settings.Database.from_env(env)
    with connect_for_people(database, application_name="auth0-sync-erase") as connection, connection.transaction():
        yield InTransaction(connection)


def look(reader: Statements, user_id: str) -> dict[str, int]:
    """Return the numbers of rows about a user: live, tombstones, history, acted."""
    [found] = reader.rows(_FOUND, *[user_id] * 5)
    return found


def places(found: dict[str, int]) -> list[Place]:
    """Return the places in Postgres, before anything is erased."""
    return [
        Place("Postgres, users", found["live"] + found["tombstones"], "rows"),
        Place("Postgres, user_history about the user", found["history"], "rows"),
        Place("Postgres, user_history by the user", found["acted"], "rows"),
    ]


def erase(owner: Statements, user_id: str, found: list[Place], *, tombstones: bool) -> None:
    """Erase a deleted user's rows, and take the user's id and address from the changes that the user made."""
    users, history, acted = found
    history.erased = owner.rows(_HISTORY, user_id)[0]["rows"]
    acted.erased = owner.rows(_ACTED, ERASED, user_id)[0]["rows"]
    if tombstones:
        users.erased = owner.rows(_TOMBSTONE, user_id)[0]["rows"]


class Items:
    """The user's item in DynamoDB."""

    def __init__(self, client: "DynamoDBClient", table: str, user_id: str) -> None:
        self._client, self._table, self._user_id = client, table, user_id
        self._item = DynamoDBStore(client, table).read(user_id)
        self.place = Place("DynamoDB", int(self._item is not None), "items")

    @property
    def live(self) -> bool:
        """Return whether the user is not deleted."""
        return self._item is not None and "deleted_at" not in self._item

    def erase(self) -> None:
        """Delete the tombstone, if it is still one."""
        if self._item is None:
            return
        self._client.delete_item(
            TableName=self._table,
            Key={"user_id": {"S": self._user_id}},
            ConditionExpression="attribute_exists(deleted_at) OR attribute_not_exists(user_id)",
        )
        self.place.erased = 1
