"""Prove that nobody changed the archive: compare it with its signed manifests."""

from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import boto3
import typer

from pipeline.archive import public_key as public_keys
from pipeline.archive import verify as archive
from pipeline.archive.chain import Keyring
from pipeline.archive.objects import Bucket, Layout
from pipeline.archive.verify import Report
from pipeline.cli.app import EXIT_UNHEALTHY, ArchiveBucket, ArchivePrefix, AsJson, ErrorPrefix, app, print_json
from pipeline.cli.progress import Steps
from pipeline.cli.terminal import console, errors, in_markup
from pipeline.delivery.targets import client_config

if TYPE_CHECKING:
    from pipeline.archive.signed import Verify

SHOWN = 50
"""Problems that the command prints without --json."""


@app.command()
def verify(
    bucket: ArchiveBucket,
    prefix: ArchivePrefix,
    error_prefix: ErrorPrefix,
    key: Annotated[str, typer.Option(envvar="MANIFEST_KEY_ARN", help="ARN of the KMS key that signs the manifests.")],
    public_key: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="File of the public key; without it, KMS is asked."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="First day (UTC) whose objects to compare: 2026-11-22.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day. The chain is checked as a whole.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Compare versions, not bytes: S3 never changes the bytes of a version.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the archive with its signed manifests, and print what differs. Exit code 3 if something differs."""
    first, last = _day(since), _day(until)
    if first and last and first > last:
        raise typer.BadParameter(f"the period ends before it begins: {first} to {last}")
    check = _key(public_key, key)
    s3 = boto3.client("s3", config=client_config(archive.THREADS))
    with Steps(errors if as_json else console) as steps, steps.step("Verify") as step:
        report = archive.verify(
            Bucket(s3, bucket),
            Layout(prefix, error_prefix),
            Keyring(key, check),
            datetime.now(UTC),
            since=first,
            until=last,
            quick=quick,
            update=lambda now: step.update(f"{now.last_day} {now.objects:,} objects, {now.bytes:,} bytes"),
        )
        if report.problems:
            step.fail(f"{len(report.problems):,} differences")
    if as_json:
        print_json(asdict(report))
    else:
        _print(report, quick=quick)
    if report.problems:
        raise typer.Exit(EXIT_UNHEALTHY)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day such as 2026-11-22") from None


def _key(path: Path | None, arn: str) -> "Verify":
    content = path.read_bytes() if path else boto3.client("kms").get_public_key(KeyId=arn)["PublicKey"]
    return public_keys.load(content)


def _print(report: Report, *, quick: bool) -> None:
    for one in report.problems[:SHOWN]:
        where = in_markup(f"{one.day or ''} {one.key}".strip())
        console.print(f"[red]{one.kind}[/]  {where}\n    {in_markup(one.detail)}", highlight=False, soft_wrap=True)
    if len(report.problems) > SHOWN:
        console.print(f"… and {len(report.problems) - SHOWN:,} more; --json has all.", highlight=False)
    if report.first_day is None:
        console.print("The archive has no objects in this period.")
        return
    how = "the versions that their manifests list" if quick else "byte for byte as their manifests list them"
    console.print(
        f"{report.first_day} to {report.last_day}: {report.objects:,} objects are {how}; "
        f"{report.manifests:,} manifests in the chain.",
        highlight=False,
    )
    for number, sentence in (
        (report.erased, f"are gone, as {len(report.erasures):,} records below manifests/erasures/ say"),
        (report.rewritten, "took their places, as these records say"),
        (report.expired, "are gone because archive.expire_after_days is over"),
        (report.pending, "are new: the next manifest lists them"),
        (report.unproven, "are of days without a valid manifest: nothing proves them"),
    ):
        if number:
            console.print(f"  {number:,} {sentence}.", highlight=False)
