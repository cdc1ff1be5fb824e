"""Export jobs of the Management API: start one, wait for its end, and get the link to its file.

Auth0 documents them under "Bulk User Exports" and in the reference ("Create export users job", "Get a job"): a link to
the file is valid for 60 seconds, each request for the job makes a new one, and after 24 hours job and file are gone.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote

import msgspec

from pipeline.auth0.errors import JobFailed, JobGone
from pipeline.auth0.management import Auth0Error, Management, Refused
from pipeline.progress import duration

HOURS: Final = 24
"""Hours for which Auth0 keeps a job and its file."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Most seconds between two requests for a job; each pause is 1.5 times as long as the one before."""
BUSY_SECONDS: Final = 600.0
"""Seconds to wait for the end of other jobs, if Auth0 refuses a further one."""
_SHOWN: Final = 5
_LONGEST: Final = 200


class Job(msgspec.Struct, frozen=True):
    """A job as Auth0 describes it."""

    id: str
    status: str
    created_at: str = ""
    location: str = ""
    percentage_done: float | None = None
    time_left_seconds: float | None = None
    status_details: Any = None

    @property
    def progress(self) -> str:
        """Return the status, and how far the job is."""
        done = "" if self.percentage_done is None else f", {self.percentage_done:.0f} %"
        left = f", {duration(self.time_left_seconds)} left" if self.time_left_seconds else ""
        return f"{self.status}{done}{left}"


class _Detail(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Failure(msgspec.Struct):
    """An entry of the errors of a job. Its ``user`` stays unread."""

    errors: list[_Detail] = []


class ExportJobs:
    """The export jobs of one tenant."""

    def __init__(self, api: Management, sleep: Callable[[float], None] = time.sleep) -> None:
        self._api, self._sleep = api, sleep

    def start(
        self, fields: Iterable[str], connection_id: str, limit: int | None, tell: Callable[[str], None] = lambda _: None
    ) -> Job:
        """Start a job of all users, or of those of a connection. Raises Auth0Error.

        Auth0 limits the jobs that run at a time, and does not document the number: this waits for others to end.
        """
        body: dict[str, Any] = {"format": "json", "fields": [{"name": name} for name in fields]}
        body |= {"connection_id": connection_id} if connection_id else {}
        body |= {"limit": limit} if limit is not None else {}  # without it, Auth0 exports all users
        waited, pause = 0.0, LONGEST_PAUSE
        while True:
            try:
                return self._job(self._api.post("jobs/users-exports", body))
            except Refused as error:
                if error.status != 429 or waited >= BUSY_SECONDS:
                    raise
            tell(f"Auth0 runs other jobs; next try in {pause:.0f} s")
            self._sleep(pause)
            waited += pause

    def get(self, job_id: str) -> Job:
        """Return a job. Raises JobGone."""
        try:
            return self._job(self._api.get(f"jobs/{quote(job_id, safe='')}"))
        except Refused as error:
            if error.status == 404:
                raise JobGone(job_id) from None
            raise

    def completed(self, job_id: str, tell: Callable[[str], None]) -> Job:
        """Return a job when it is complete. Raises JobFailed, JobGone or another Auth0Error."""
        pause = FIRST_PAUSE
        while (job := self.get(job_id)).status != "completed":
            tell(job.progress)
            if job.status == "failed":
                raise JobFailed(job_id, self._errors(job))
            if job.status == "expired":
                raise JobGone(job_id)
            self._sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        return job

    def location(self, job_id: str) -> str:
        """Return a new link to the file of a complete job. Raises JobGone."""
        if not (found := self.get(job_id).location):
            raise JobGone(job_id)
        return found

    def _job(self, answer: Any) -> Job:
        try:
            return msgspec.convert(answer, Job)
        except msgspec.ValidationError:
            raise Auth0Error(
                "Auth0 answered a request about a job with something else. Run this again later."
            ) from None

    def _errors(self, job: Job) -> list[str]:
        """Return the reasons of a failed job, without the users that Auth0 may name beside them."""
        found = [job.status_details] if isinstance(job.status_details, str) else []
        try:
            listed = msgspec.convert(self._api.get(f"jobs/{quote(job.id, safe='')}/errors") or [], list[_Failure])
        except (Auth0Error, msgspec.ValidationError):
            listed = []
        found += [f"{one.code}: {one.message}" for failure in listed for one in failure.errors]
        return [" ".join(text.split())[:_LONGEST] for text in dict.fromkeys(found)][:_SHOWN]
