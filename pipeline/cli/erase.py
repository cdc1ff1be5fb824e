"""Erase a person from a deployment."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline import erasure, invocation, settings
from pipeline.archive import erasures
from pipeline.cli import aws
from pipeline.cli.app import (
    EXIT_UNHEALTHY,
    ArchiveBucket,
    ArchivePrefix,
    AsJson,
    DeploymentName,
    ErrorPrefix,
    Recorder,
    app,
    print_json,
)
from pipeline.cli.progress import Steps
from pipeline.cli.terminal import ask, can_ask, cell, console, errors, in_markup
from pipeline.erasure import Place, stores
from pipeline.erasure.archive import Archive
from pipeline.erasure.erase import Deployment, look
from pipeline.erasure.erase import erase as erase_person
from pipeline.erasure.objects import RewritableBucket
from pipeline.erasure.person import Person
from pipeline.errors import CommandError
from pipeline.stores import postgres

Names = Annotated[
    list[str] | None,
    typer.Option(
        "--identifier", help="Also what names the person: an e-mail address, a phone number; repeat for more."
    ),
]


@app.command()
def erase(
    user: Annotated[str, typer.Argument(help="Auth0's id, such as 'auth0|63d1…', or an e-mail address.")],
    deployment: DeploymentName,
    bucket: ArchiveBucket,
    prefix: ArchivePrefix,
    error_prefix: ErrorPrefix,
    database: Annotated[str, typer.Option(envvar="ATHENA_DATABASE", help="The archive's database in Athena.")],
    workgroup: Annotated[str, typer.Option(envvar="ATHENA_WORKGROUP", help="The archive's workgroup in Athena.")],
    identifier: Names = None,
    source_region: Annotated[
        str | None, typer.Option(envvar="SOURCE_REGION", help="The region of Auth0's event sources.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Erase without a question; without it and a terminal, look.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look, and ask nothing.")] = False,
    tombstones: Annotated[
        bool, typer.Option("--tombstones", help="Also the user's id in the stores, 14 days after the deletion.")
    ] = False,
    recorder: Recorder = None,
    reference: Annotated[str, typer.Option(help="For the archive's record: your number of the request.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show where a person's data lies, and erase it: stores, history, queues, and every version in the archive.

    Only looks unless you confirm, or give --yes. Delete the user in Auth0 first, and name the person's addresses by
    --identifier: the stores no longer have them. Lines about others stay as they are, byte for byte. You can stop it
    and run it again.

    Reads the variables of `auth0-sync env`. To erase from Postgres it signs in as auth0_migrator, or takes on that role
    as the master user, whose secret MASTER_SECRET_ARN names, through the RDS Data API. Exit code 3 if something must be
    looked at by a person.
    """
    if yes and dry_run:
        raise typer.BadParameter("either --yes or --dry-run")
    with ExitStack() as opened:
        reader = opened.enter_context(postgres.reader_from_env())
        try:
            person = Person(_user_id(postgres.PostgresStore(reader), user), identifier or ())
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        s3 = aws.client("s3")
        found = Deployment(
            deployment,
            reader,
            stores.owner_from_env,
            stores.Items(aws.client("dynamodb"), settings.users_table(), person.user_id),
            _queues(source_region),
            Archive(
                RewritableBucket(s3, bucket, locked=bool(os.environ.get("ARCHIVE_LOCK_DAYS"))),
                prefix,
                error_prefix,
                aws.client("athena"),
                database,
                workgroup,
            ),
        )
        display, places = errors if as_json else console, []
        if not yes:
            with Steps(display) as steps:
                places = look(found, person, steps)
        if not (yes or dry_run or as_json) and can_ask():
            _show(places, person)
            if ask(f"Erase what can be erased? Type the user id ({person.user_id})") != person.user_id:
                raise CommandError("Not confirmed, so nothing was changed.")
            yes = True
        if yes:
            record = erasures.recorder(invocation.client(s3.meta.region_name), recorder, reference=reference)
            with Steps(display) as steps:
                places = erase_person(found, person, steps, record, tombstones=tombstones)
    if as_json:
        remains = [{"where": where, "until": until} for where, until in erasure.REMAINS]
        print_json(
            {
                "user_id": person.user_id,
                "erased": yes,
                "places": [asdict(place) for place in places],
                "remains": remains,
            }
        )
    else:
        _show(places, person)
        if not yes:
            console.print("Nothing was changed: this was only a look. To erase: --yes", highlight=False)
    if any(place.problems for place in places):
        raise typer.Exit(EXIT_UNHEALTHY)


def _user_id(users: postgres.PostgresStore, user: str) -> str:
    """Return a user id; look an e-mail address up in Postgres, which has those of live users only."""
    if "@" not in user or "|" in user:  # every id of Auth0 has a bar
        return user
    ids = users.find(user)
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise CommandError(f"{len(ids)} users have the address {user}; name one by its id: {', '.join(ids)}")
    raise CommandError(
        f"No user in Postgres has the address {user}: a deleted user has none. Name the user by its id, and the "
        "address by --identifier."
    )


def _queues(source_region: str | None) -> list[Any]:
    here = aws.client("sqs")
    if source_region in (None, here.meta.region_name):
        return [here]
    return [here, aws.client("sqs", region_name=source_region)]


def _show(places: Sequence[Place], person: Person) -> None:
    console.print(f"\n[bold]{in_markup(person.user_id)}[/]", highlight=False, soft_wrap=True)
    table = Table(box=None, header_style="bold")
    for column in ("place", "found", "erased", ""):
        table.add_column(column, justify="right" if column in ("found", "erased") else "left")
    for place in places:
        table.add_row(cell(place.name), f"{place.found:,} {place.unit}", f"{place.erased:,}", cell(place.kept))
    console.print(table)
    for place in places:
        for problem in place.problems:
            console.print(f"[red]✘[/] {in_markup(f'{place.name}: {problem}')}", highlight=False, soft_wrap=True)
    console.print("\nThe command does not reach:", highlight=False)
    for where, until in erasure.REMAINS:
        console.print(in_markup(f"  {where}: {until}"), highlight=False, soft_wrap=True)
