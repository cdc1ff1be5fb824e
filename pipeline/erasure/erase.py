"""Look for a person in every place of a deployment, and erase the data."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.archive.records import Record
from pipeline.erasure import Place, archive, queues, stores
from pipeline.erasure.archive import Archive
from pipeline.erasure.person import Person
from pipeline.erasure.stores import Items, Statements, StillThere
from pipeline.progress import Progress

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Deployment:
    """Clients and names of a deployment."""

    name: str
    reader: Statements
    owner: Callable[[], AbstractContextManager[Statements]]
    """Opens a transaction that may delete rows."""
    items: Items
    sqs: Sequence["SQSClient"]
    """A client of each region that has queues."""
    archive: Archive


def look(deployment: Deployment, person: Person, progress: Progress) -> list[Place]:
    """Return every place with what it holds about a person; change nothing."""
    return _visit(deployment, person, progress, None, act=False, tombstones=False)


def erase(
    deployment: Deployment, person: Person, progress: Progress, record: Record, *, tombstones: bool = False
) -> list[Place]:
    """Erase a person; ``record`` is called before an object of the archive changes.

    It ends early without harm: another run goes on. Raises StillThere if the user is not deleted.
    """
    return _visit(deployment, person, progress, record, act=True, tombstones=tombstones)


def _visit(
    deployment: Deployment, person: Person, progress: Progress, record: Record | None, *, act: bool, tombstones: bool
) -> list[Place]:
    with progress.step("Postgres"):
        found = stores.look(deployment.reader, person.user_id)
    places, items = stores.places(found), deployment.items
    if act:
        _require_deleted(person, live_in_postgres=bool(found["live"]), live_in_dynamodb=items.live)
    # First the queues, whose messages could bring rows back.
    with progress.step("Queues") as step:
        waiting = queues.erase(deployment.sqs, deployment.name, person, step.update, act=act)
    if act:
        with progress.step("Rows and items"), deployment.owner() as owner:
            stores.erase(owner, person.user_id, places, tombstones=tombstones)
        if tombstones:
            items.erase()
    if not tombstones:
        for place in (places[0], items.place):
            place.kept = stores.TOMBSTONE if place.found else ""
    if found["live"] or items.live:
        places[0].problems.append("the user is not deleted in Auth0, so nothing can be erased yet")
    with progress.step("Archive") as step:
        events = archive.erase_events(deployment.archive, person, record, step.update)
    with progress.step("Events not archived") as step:
        failed = archive.erase_failed_events(deployment.archive, person, record, step.update)
    with progress.step("Results of queries") as step:
        results = archive.erase_results(deployment.archive, person, step.update, act=act)
    return [*places, items.place, waiting, events, failed, results]


def _require_deleted(person: Person, *, live_in_postgres: bool, live_in_dynamodb: bool) -> None:
    if live_in_postgres or live_in_dynamodb:
        where = " and ".join(["Postgres"] * live_in_postgres + ["DynamoDB"] * live_in_dynamodb)
        raise StillThere(
            f"The user {person.user_id} is not deleted, by {where}, so the next event would bring the data back. "
            "Delete the user in Auth0, wait until the deletion has arrived, and run this again."
        )
