"""The part of `backfill` that reads an export from a file, or finds one that is uploaded."""

import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from msgspec.structs import replace

from pipeline.auth0.exports import lines
from pipeline.backfill.objects import Cut, Exports
from pipeline.backfill.slices import Report, cut
from pipeline.changes import Export, instant
from pipeline.progress import Progress


class Uploaded:
    """An export that is in the bucket."""

    hint = "The same command goes on."
    report: Report | None = None
    not_exported: Sequence[str] = ()

    def __init__(self, export_id: str) -> None:
        self._export_id = export_id

    def get(self, steps: Progress, exports: Exports) -> Cut:  # noqa: ARG002 - the protocol's
        """Return the export. Raises CommandError if not all of it is there."""
        return exports.cut(self._export_id)

    def end(self) -> None:
        """Do nothing: there is no state."""


class FromFile:
    """A file with an export."""

    hint = "Start again: the file was not read to its end, and nothing was loaded."
    not_exported: Sequence[str] = ()

    def __init__(
        self, file: Path, fields: Sequence[str], connections: Collection[str], limit: int | None, *, dry_run: bool
    ) -> None:
        """``dry_run`` only reads the file."""
        self._file, self._fields, self._connections, self._limit = file, fields, connections, limit
        self._dry_run = dry_run
        self.report = Report()

    def get(self, steps: Progress, exports: Exports) -> Cut:
        """Upload the export in slices, and its description at the end. Raises DamagedExport."""
        file, report = self._file, self.report
        export = Export(new_id(), _taken_at(file))
        began = time.monotonic()
        with steps.step("Read") as step, file.open("rb") as stream:
            users = cut(lines(stream), export, report, limit=self._limit, connections=self._connections)
            for content in users:
                if not self._dry_run:
                    exports.put_slice(export, report.slices, content)
                rate = report.users / max(time.monotonic() - began, 0.001)
                part = stream.tell() / file.stat().st_size
                step.update(f"{report.users:,} users, {rate:,.0f}/s, {part:.0%} of the file")
        found = Cut(replace(export, fields=report.exported(self._fields)), report.slices, report.users)
        if not self._dry_run:
            exports.put_cut(found)
        return found

    def end(self) -> None:
        """Do nothing: there is no state."""


def new_id() -> str:
    """Return the id of a new export."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}"


def _taken_at(file: Path) -> str:
    """Return the time of the file as that of the export, or now if the file's is in the future."""
    return instant(min(datetime.fromtimestamp(file.stat().st_mtime, UTC), datetime.now(UTC)).isoformat())
