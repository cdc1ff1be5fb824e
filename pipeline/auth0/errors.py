"""Errors of Auth0 about users, and about exports of users."""

from collections.abc import Sequence

from pipeline.errors import Auth0SyncError, CommandError, Poison, Retry


class CredentialsRefused(Retry):
    """Auth0 refused the credentials; check the application's id and secret and its grant of read:users."""

    def __init__(self, detail: str = "", status: int = 0) -> None:
        super().__init__(detail)
        self.status = status
        """The HTTP status of the token endpoint, if it refused."""


class Later(Retry):
    """The user cannot be fetched now; the signal goes back to the queue as a copy, to be read after a wait."""

    backoff = 1
    """Seconds of the first wait; it doubles with each deferral."""

    def __init__(self, detail: str = "", wait: float = 0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.wait = wait
        """Seconds until the next request can succeed, if known."""


class RateLimited(Later):
    """Auth0's rate limit is reached."""


class OutOfTime(Later):
    """The function's time ended before the user's turn came."""


class Auth0Down(Later):
    """Auth0 did not answer, or not with a user."""

    backoff = 30


class NobodyKnown(Later):
    """Auth0 has known none of the users so far; check that refresh.auth0_domain is the tenant of the events."""

    backoff = 30


class WrongTenant(Retry):
    """The event is of another tenant than the one that the refresh asks; check refresh.auth0_domain."""


class GivenUp(Retry):
    """The user could not be fetched for longer than REFRESH_MAX_AGE."""


class UserIdRefused(Poison):
    """Auth0 says that no user can have this id."""


class LineTooLong(Poison):
    """The line is longer than 4 MiB, which no user of Auth0 is."""


class DamagedExport(Auth0SyncError):
    """The file cannot be decompressed to its end; download the export again."""


class JobEnded(CommandError):
    """An export job has ended without a file; only another job can give one."""


class JobGone(JobEnded):
    """Auth0 has deleted the job."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"Auth0 no longer has the export job {job_id}: it keeps a job and its file for 24 hours. Run this again: "
            "it starts another one."
        )


class JobFailed(JobEnded):
    """Auth0 could not export the users."""

    def __init__(self, job_id: str, reasons: Sequence[str]) -> None:
        said = "; ".join(reasons) or "Auth0 gives no reason"
        super().__init__(f"Auth0's export job {job_id} has failed: {said}. Run this again; it starts another one.")


class NotDownloaded(CommandError):
    """The file of an export job could not be read to its end."""
