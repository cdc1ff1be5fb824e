"""Erase a person from the archive's bucket: the events, those that Firehose could not write, and results of queries."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from pipeline.archive import athena
from pipeline.archive.objects import Version
from pipeline.archive.records import Record
from pipeline.erasure import Place
from pipeline.erasure.objects import LineEraser, Report, RewritableBucket, erase_whole
from pipeline.erasure.person import Person

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

# "$path" is Athena's column with the object of a row.
_OBJECTS: Final = 'SELECT "$path" AS path, count(*) AS lines FROM lines WHERE regexp_like(line, ?) GROUP BY "$path"'
RESULTS: Final = "athena-results/"
EXPORTS: Final = "exports/"

Update = Callable[[str], None]


@dataclass(frozen=True)
class Archive:
    """The bucket, its prefixes, and Athena."""

    objects: RewritableBucket
    prefix: str
    error_prefix: str
    athena: "AthenaClient"
    database: str
    workgroup: str
    timeout: float = 1800


def find(archive: Archive, person: Person) -> set[str]:
    """Return the keys of the current objects with events that may be about a person, by Athena."""
    answer = athena.query(
        archive.athena,
        _OBJECTS,
        database=archive.database,
        workgroup=archive.workgroup,
        parameters=[person.pattern],
        timeout=archive.timeout,
    )
    return {path.removeprefix(f"s3://{archive.objects.name}/") for path, _ in answer.rows}


def erase_events(archive: Archive, person: Person, record: Record | None, update: Update) -> Place:
    """Erase the lines about a person from the events; only look without ``record``.

    Athena reads current versions only, so the old ones, of which there are few, are read here.
    """
    keys = find(archive, person)

    def wanted(versions: list[Version]) -> bool:
        return versions[0].key in keys or any(not one.latest and not one.deleted for one in versions)

    eraser = LineEraser(archive.objects, person.concerns, person.may_concern, record)
    return _erase_lines(eraser, archive.prefix, filter(wanted, archive.objects.by_key(archive.prefix)), update)


def erase_failed_events(archive: Archive, person: Person, record: Record | None, update: Update) -> Place:
    """Erase the events about a person that Firehose could not write to the archive."""
    eraser = LineEraser(archive.objects, person.concerns_failed, person.may_concern_failed, record)
    return _erase_lines(eraser, archive.error_prefix, archive.objects.by_key(archive.error_prefix), update)


def erase_results(archive: Archive, person: Person, update: Update, *, act: bool) -> Place:
    """Delete results of queries and exports that may be about a person; they can be made again."""
    report = Report()
    for number, versions in enumerate(chain(*map(archive.objects.by_key, (RESULTS, EXPORTS))), start=1):
        erase_whole(archive.objects, versions, person.may_concern, report, act=act)
        update(f"{number:,} results, {report.objects:,} with the person")
    place = _place(f"archive, {RESULTS} and {EXPORTS}", report, act=act)
    place.found, place.unit, place.erased = report.versions, "results", report.erased_versions
    return place


def _erase_lines(eraser: LineEraser, prefix: str, objects: Iterable[list[Version]], update: Update) -> Place:
    report = eraser.report
    for number, versions in enumerate(objects, start=1):
        eraser.erase(versions)
        update(f"{number:,} objects read, {report.lines:,} lines about the person")
    return _place(f"archive, {prefix}", report, act=eraser.record is not None)


def _place(name: str, report: Report, *, act: bool) -> Place:
    kept = []
    if not act and report.objects:
        kept.append(
            f"in {report.objects:,} objects" + (f", {report.versions:,} old versions" if report.versions else "")
        )
    if report.doubtful:
        kept.append(
            f"{report.doubtful:,} more lines hold an identifier inside a longer word, and stay: if they are about the "
            "person, name the word by --identifier"
        )
    return Place(name, report.lines, "lines", report.erased_lines, "; ".join(kept), report.problems)
