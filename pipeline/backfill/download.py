"""Download the users of a tenant by Auth0's export jobs, in slices; a killed run goes on behind its last slice.

A job exports each wanted connection, or one job all users. After each slice, the run writes the state, an object beside
the exports: the jobs, and the report of the slices so far. The next run writes a slice again that the state lacks.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from msgspec.structs import replace

from pipeline.auth0.api import Fetch
from pipeline.auth0.download import ExportFile
from pipeline.auth0.errors import DamagedExport, JobEnded
from pipeline.auth0.exports import lines
from pipeline.auth0.jobs import HOURS, ExportJobs
from pipeline.auth0.management import Refused
from pipeline.auth0.profiles import EXPORTABLE, Connection
from pipeline.backfill.objects import Cut, Exports
from pipeline.backfill.slices import cut
from pipeline.backfill.state import Download, Downloads, Job, Kept
from pipeline.backfill.whole import LARGE, Whole
from pipeline.changes import instant
from pipeline.errors import BadTimestamp
from pipeline.progress import Progress, Step, duration

EVERY = Connection("", "")
"""Stands for all connections."""


def is_open(kept: Kept | None, now: datetime) -> bool:
    """Return whether a run goes on with a download: it is not over, and Auth0 still has its jobs."""
    return kept is not None and not kept.download.over and now - kept.at < timedelta(hours=HOURS)


class Downloader:
    """Download one export."""

    def __init__(
        self,
        exports: Exports,
        jobs: ExportJobs,
        key: str,
        download: Download,
        etag: str = "",
        *,
        limit: int | None = None,
    ) -> None:
        """``etag`` is that of the state at ``key``, empty where none is."""
        self._exports, self._jobs, self._key = exports, jobs, key
        self._downloads = Downloads(exports.s3, exports.bucket)
        self._limit, self._etag = limit, etag
        self.state = download

    def run(
        self,
        connections: Sequence[Connection],
        fetch: Fetch,
        sample: Mapping[str, bytes],
        progress: Progress,
        large: int = LARGE,
    ) -> Cut:
        """Download the users of ``connections``, or all; return the export. Raises DamagedExport or a CommandError.

        ``sample`` has users' JSON by id; ``large`` is in bytes. See ``Whole``.
        """
        try:
            for place, connection in enumerate(connections or [EVERY]):
                if place + 1 < len(self.state.jobs) or self.state.report.users == self._limit:
                    continue
                with progress.step("Export") as step:
                    if place == len(self.state.jobs):
                        self._start(connection, step)
                    job = self.state.jobs[place]
                    step.update(self._jobs.completed(job.id, step.update).progress)
                with progress.step("Download") as step:
                    self._slices(job, Whole(self.state.export, fetch, sample, large), step)
        except (JobEnded, DamagedExport):  # else each further run would read the same file
            self.end()
            raise
        return self._complete()

    def end(self) -> None:
        """Note that the next run starts another export."""
        self._save(replace(self.state, over=True))

    def _start(self, connection: Connection, step: Step) -> None:
        state, fields = self.state, self.state.fields
        try:
            started = self._jobs.start(fields, connection.id, self._limit, step.update)
        except Refused as error:
            # Auth0 does not document whether a job may name root attributes of a connection's own.
            if error.status != 400 or state.jobs or {*fields} <= {*EXPORTABLE}:
                raise
            state = replace(state, fields=EXPORTABLE, unnamed=(*state.unnamed, *sorted({*fields} - {*EXPORTABLE})))
            started = self._jobs.start(EXPORTABLE, connection.id, self._limit, step.update)
        if not state.jobs:
            state = replace(state, export=replace(state.export, taken_at=_taken_at(started.created_at)))
        self._save(replace(state, jobs=(*state.jobs, Job(started.id, connection.name, state.report.lines))))

    def _slices(self, job: Job, ask: Whole, step: Step) -> None:
        state, report = self.state, self.state.report
        began, before = time.monotonic(), report.users
        with ExportFile(lambda: self._jobs.location(job.id)) as file:
            rest = islice(lines(file), report.lines - job.first, None)
            for content in cut(rest, state.export, report, limit=self._limit, ask=ask):
                self._exports.put_slice(state.export, report.slices, content)
                self._save(self.state)
                seconds = max(time.monotonic() - began, 0.001)
                rate = (report.users - before) / seconds
                part = _part(file, seconds)
                asked = f", {report.compared:,} compared" if report.compared else ""
                step.update(f"{report.users:,} users, {rate:,.0f}/s{part}{asked}")

    def _complete(self) -> Cut:
        state = self.state
        export = replace(state.export, fields=state.report.exported(state.fields))
        found = Cut(export, state.report.slices, state.report.users)
        self._exports.put_cut(found)
        self._save(replace(state, export=export, complete=True))
        return found

    def _save(self, state: Download) -> None:
        self._etag = self._downloads.put(self._key, state, self._etag)
        self.state = state


def _part(file: ExportFile, seconds: float) -> str:
    """Return the part of a file that was read in ``seconds``, and the time that the rest will take."""
    if not (file.size and file.place):
        return ""
    part = file.place / file.size
    return f", {part:.0%} of the file" + (f", {duration(seconds / part - seconds)} left" if part < 1 else "")


def _taken_at(created_at: str) -> str:
    """Return the time of a job as that of its export, or now if Auth0's time is unreadable or in the future."""
    now = instant(datetime.now(UTC).isoformat())
    try:
        return min(instant(created_at), now)
    except BadTimestamp:
        return now
