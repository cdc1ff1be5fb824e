"""Compare Postgres with DynamoDB, and repair what differs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from pipeline import settings
from pipeline.cli import aws
from pipeline.cli.app import EXIT_UNHEALTHY, AsJson, DeploymentName, app, print_json
from pipeline.cli.progress import Steps
from pipeline.cli.reconcile_auth0 import TITLES, AgainstAuth0, print_counts, print_refused, repaired, rows
from pipeline.cli.terminal import Terminal, ask, can_ask, console, errors, in_markup
from pipeline.delivery.consumers import Consumer, Storing
from pipeline.delivery.queue import Queue
from pipeline.delivery.targets import client_config, open_queue
from pipeline.errors import CommandError
from pipeline.reconcile import STORES, Difference
from pipeline.reconcile.cost import Cost, cost_of_scan
from pipeline.reconcile.dynamodb import SEGMENTS, DynamoDBUsers, ScanRequests
from pipeline.reconcile.fix import TIMEOUT, Repair, deletions, look_again, repair
from pipeline.reconcile.look import Report, Stores
from pipeline.reconcile.postgres import PostgresUsers
from pipeline.reconcile.queues import waiting
from pipeline.stores import postgres

STATEMENT_SECONDS: Final = 3600
"""Seconds for a statement on a server; one hashes a whole table."""

_FORMATS: Final = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]


@app.command()
def reconcile(
    deployment: DeploymentName,
    contents: Annotated[
        bool, typer.Option("--contents", help="Compare all values, too: finds users who were changed by hand.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Send the newer store's user to the other one's queue, and look again.")
    ] = False,
    trust: Annotated[
        Storing | None, typer.Option(help="With --fix: the store that is right about users of one version.")
    ] = None,
    lag: Annotated[
        int, typer.Option(min=0, help="Seconds for which a change may be in a queue, and is no difference.")
    ] = 300,
    limit: Annotated[int, typer.Option(min=0, help="Most users to list with --users.")] = 100,
    users: Annotated[bool, typer.Option("--users", help="List the users by their ids.")] = False,
    segments: Annotated[int, typer.Option(min=1, max=256, help="Parts of the table to scan side by side.")] = SEGMENTS,
    yes: Annotated[bool, typer.Option("--yes", help="Scan the table without a question about the cost.")] = False,
    allow_data_loss: Annotated[
        bool, typer.Option("--allow-data-loss", help="With --fix: delete any number of users without a question.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(help="Compare both with Auth0, too, by this export of its users: JSON lines, or gzip."),
    ] = None,
    exported_at: Annotated[
        datetime | None, typer.Option(help="With --export: when its job was created, UTC.", formats=_FORMATS)
    ] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="With --export: users to fetch from Auth0 a second.")] = 2.0,
    most: Annotated[int, typer.Option(min=0, help="With --export: most users to fetch from Auth0.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Compare the users in Postgres with those in DynamoDB, and with --fix repair what differs.

    It sums up hashes in both stores, and reads only the users whose hashes differ. It scans the users table, and says
    the cost before. Deleted users count only where the other store still has them.

    An export names the users who may differ from Auth0; these it fetches by AUTH0_DOMAIN, AUTH0_CLIENT_ID and
    AUTH0_CLIENT_SECRET, and deletes only users whom Auth0 does not know.

    Reads the variables of `auth0-sync env`. Exit code 3 if the stores differ.
    """
    if (export is None) is not (exported_at is None):
        raise typer.BadParameter("--export needs --exported-at, and the other way round")
    client, table = aws.client("dynamodb"), settings.users_table()
    cost = cost_of_scan(client, table)
    asks = can_ask() and not as_json
    _confirm(cost, asks=asks, yes=yes)
    queues = _Queues(deployment, lag)
    permit = _Permit(deployment, asks=asks, allowed=allow_data_loss) if fix else None
    against: AgainstAuth0 | None = None
    scanner = ScanRequests.connect(segments)
    display = errors if as_json else console
    with postgres.reader_from_env(seconds=STATEMENT_SECONDS) as reader:
        stores = Stores(
            PostgresUsers(reader, contents=contents),
            DynamoDBUsers(client, scanner, table, contents=contents, segments=segments),
        )
        found = _compare(stores, queues, display, permit, trust)
        if export and exported_at:
            against = AgainstAuth0(stores, PostgresUsers(reader, updates=True), export, rate)
            with Steps(display) as steps:
                against.look(exported_at.replace(tzinfo=UTC), queues.settled, steps, most)
            if permit and against.drift:
                permit.require(against.drift, found.report.users)
                with Steps(display) as steps:
                    against.repair(queues.targets(), steps)
    listed = [*found.left, *(against.left if against else ())][:limit] if users else []
    if as_json:
        print_json(_document(found, cost, listed) | (against.document() if against else {}))
    else:
        _print(found, against, listed)
    if found.left or (against and not against.agrees):
        raise typer.Exit(EXIT_UNHEALTHY)


class _Queues:
    """The queues of the sinks."""

    def __init__(self, deployment: str, lag: int) -> None:
        self._deployment, self._lag = deployment, timedelta(seconds=lag)
        self._sqs, self._cloudwatch = aws.client("sqs", config=client_config()), aws.client("cloudwatch")

    def settled(self) -> Mapping[Consumer, datetime]:
        """Return the time up to which all changes have left each queue."""
        now = datetime.now(UTC)
        ages = {store: waiting(self._sqs, self._cloudwatch, f"{self._deployment}-{store}", now) for store in STORES}
        return {store: now - self._lag - age for store, age in ages.items()}

    def targets(self) -> dict[Consumer, Queue]:
        """Return the queues with their functions."""
        lambda_ = aws.client("lambda", config=client_config())
        return {store: open_queue(self._sqs, lambda_, self._deployment, store) for store in STORES}


@dataclass
class _Permit:
    """The permission to repair."""

    deployment: str
    asks: bool
    allowed: bool

    def require(self, drift: Sequence[Difference], users: Mapping[Consumer, int]) -> None:
        """Raise CommandError if a repair would delete many users, and nobody agrees."""
        many = deletions(drift, users)
        if not many or self.allowed:
            return
        said = " and ".join(
            f"{number:,} of {users[store]:,} users in {TITLES[store]}" for store, number in many.items()
        )
        if not self.asks:
            raise CommandError(f"It would delete {said}. Nothing was changed; --allow-data-loss agrees to it.")
        if ask(f"It would delete {said}. Type the deployment's name ({self.deployment})") != self.deployment:
            raise CommandError("Not confirmed, so nothing was changed.")


class _Found(NamedTuple):
    """The result for the two stores."""

    report: Report
    done: Repair | None
    left: Sequence[Difference]


def _compare(
    stores: Stores, queues: _Queues, display: Terminal, permit: _Permit | None, trust: Consumer | None
) -> _Found:
    """Compare the stores, and repair them if it is permitted."""
    with Steps(display) as steps:
        report = stores.look(queues.settled, steps)
    if not (permit and report.drift):
        return _Found(report, None, report.drift)
    permit.require(report.drift, report.users)
    with Steps(display) as steps:
        with steps.step("Repair") as step:
            done = repair(stores, report.drift, queues.targets(), trust=trust, update=step.update)
        with steps.step("Look again") as step:
            left = look_again(stores, report.drift, done, step.update, timeout=TIMEOUT)
    return _Found(report, done, left)


def _confirm(cost: Cost, *, asks: bool, yes: bool) -> None:
    """Print the cost of the scan, and go on if a person or --yes agrees."""
    errors.print(
        f"The scan of DynamoDB reads {cost.users:,} users in {cost.bytes / 2**30:,.1f} GiB, by figures of the "
        f"last six hours: {cost.read_units:,} read units, ${cost.dollars:,.2f} on demand in us-east-1.",
        highlight=False,
        soft_wrap=True,
    )
    if yes:
        return
    if not asks:
        raise CommandError("Nothing was read: without a terminal, --yes agrees to the cost.")
    if ask("Scan? (y/N)").lower() not in ("y", "yes"):
        raise CommandError("Not confirmed, so nothing was read.")


def _document(found: _Found, cost: Cost, listed: Sequence[Difference]) -> dict[str, Any]:
    report, done, left = found
    document: dict[str, Any] = {
        "users": report.users,
        "buckets": report.buckets,
        "read": report.read,
        "in_flight": report.in_flight,
        "drift": rows(report.counts),
        "read_units": cost.read_units,
        "seconds": round(report.seconds, 1),
    }
    if done is not None:
        document |= repaired(done, left)
    if listed:
        document["listed"] = [one._asdict() for one in listed]
    return document


def _print(found: _Found, against: AgainstAuth0 | None, listed: Sequence[Difference]) -> None:
    report, done, left = found
    users = ", ".join(f"{TITLES[store]} {number:,}" for store, number in report.users.items())
    console.print(f"Users: {users}. In flight, and no difference: {report.in_flight:,}", highlight=False)
    if report.drift:
        print_counts(report.counts, left if done else None)
    else:
        console.print("Postgres and DynamoDB agree.", highlight=False)
    if done:
        print_refused(done)
    if against:
        against.show()
    for one in listed:
        title = TITLES[one.store] if one.store else "both"
        console.print(in_markup(f"  {one.kind} in {title}: {one.user_id}"), highlight=False, soft_wrap=True)
