"""The part of `backfill` that exports the users from Auth0."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from pipeline.auth0.api import Fetch
from pipeline.auth0.jobs import ExportJobs
from pipeline.auth0.management import Management
from pipeline.auth0.profiles import SCOPES, Connection, Profiles, learn
from pipeline.backfill.download import Downloader, is_open
from pipeline.backfill.objects import Cut, Exports
from pipeline.backfill.slices import USERS, Report
from pipeline.backfill.state import Download, Downloads, download_key
from pipeline.changes import Export, instant
from pipeline.cli import auth0
from pipeline.cli.auth0 import fetch_at
from pipeline.cli.backfill_file import new_id
from pipeline.progress import Progress


@dataclass(frozen=True)
class Options:
    """The options of an export."""

    connections: Sequence[str]
    fields: Sequence[str]
    """Fields to export beside the learnt ones."""
    limit: int | None
    """Most users to export."""
    rate: float
    """Users to fetch a second."""
    large: int
    """Bytes of a user; the command fetches larger ones."""
    new: bool
    """True to start another export, even if one is not loaded yet."""


class Estimate(NamedTuple):
    """The size of an export that has not begun."""

    users: int
    bytes: int
    slices: int
    fields: Sequence[str]


class FromAuth0:
    """The export of a tenant's users."""

    def __init__(self, options: Options, log_stream_source: str) -> None:
        """``log_stream_source`` is the event source of the deployment, or empty. Raises CommandError."""
        self._settings, self._options = auth0.settings(log_stream_source), options
        self._downloader: Downloader | None = None

    hint = "Stopped. The same command goes on where this one stopped, within 24 hours."

    @property
    def report(self) -> Report | None:
        """Return the report of the lines so far; None before the download."""
        return self._downloader.state.report if self._downloader else None

    @property
    def not_exported(self) -> Sequence[str]:
        """Return the keys of users that no export has."""
        return self._downloader.state.unnamed if self._downloader else ()

    def estimate(self, steps: Progress) -> Estimate:
        """Return the size of the export by a sample; start no job."""
        with steps.step("Auth0") as step:
            profiles = Profiles(self._management(step.update))
            chosen = profiles.named(self._options.connections)
            users = sum(map(profiles.count, chosen)) if chosen else profiles.count()
            step.update(f"{users:,} users")
        with steps.step("Fields") as step:
            learnt = learn(profiles, chosen or profiles.connections(), fetch_at(self._options.rate), step.update)
        users = min(users, self._options.limit or users)
        mean = sum(map(len, learnt.users.values())) / max(len(learnt.users), 1)
        return Estimate(users, round(users * mean), -(-users // USERS), learnt.fields)

    def get(self, steps: Progress, exports: Exports) -> Cut:
        """Export the users into slices, or go on with that; return the export. Raises CommandError."""
        options = self._options
        key = download_key(self._settings.domain, sorted(options.connections), sorted(options.fields), options.limit)
        downloads = Downloads(exports.s3, exports.bucket)
        kept = downloads.find(key)
        etag = kept.etag if kept else ""
        before = kept.download if kept and is_open(kept, datetime.now(UTC)) and not options.new else None
        with steps.step("Auth0") as step:
            api = self._management(step.update)
            profiles = Profiles(api)
            chosen = profiles.named(options.connections)
            step.update(f"goes on with the export {before.export.export_id}" if before else self._settings.domain)
        fetch = fetch_at(options.rate)
        if before:
            state = before
            sample: Mapping[str, bytes] = downloads.sample(before.export)
        else:
            state, sample = self._begin(steps, profiles, chosen, fetch)
            downloads.put_sample(state.export, sample)
        self._downloader = Downloader(exports, ExportJobs(api), key, state, etag, limit=options.limit)
        if state.complete:
            return exports.cut(state.export.export_id)
        return self._downloader.run(_as_before(state, chosen), fetch, sample, steps, options.large)

    def _begin(
        self, steps: Progress, profiles: Profiles, chosen: Sequence[Connection], fetch: Fetch
    ) -> tuple[Download, Mapping[str, bytes]]:
        """Learn the fields; return a new export, and the users of the sample."""
        with steps.step("Fields") as step:
            learnt = learn(profiles, chosen or profiles.connections(), fetch, step.update)
            fields = tuple(sorted({*learnt.fields, *self._options.fields}))
            unnamed = tuple(sorted(learnt.seen.difference(fields)))
            step.update(f"{len(fields)} fields, by {len(learnt.users):,} users of {len(learnt.keys):,} connections")
        return Download(Export(new_id(), instant(datetime.now(UTC).isoformat())), fields, unnamed), learnt.users

    def end(self) -> None:
        """Note that the users are loaded, so that the next run starts another export."""
        if self._downloader:
            self._downloader.end()

    def _management(self, tell: Callable[[str], None]) -> Management:
        return auth0.management(self._settings, SCOPES, tell)


def _as_before(state: Download, chosen: Sequence[Connection]) -> list[Connection]:
    """Return the connections in the order of the jobs that exist."""
    order = [job.connection for job in state.jobs]
    return sorted(chosen, key=lambda one: (order.index(one.name) if one.name in order else len(order), one.name))
