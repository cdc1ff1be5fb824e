"""Compare exported users with Auth0's answers about them alone, and load the answers.

Auth0 documents that listing and search return at most 1 MB of a user, and of the export nothing; a request for a single
user returns all of it. So large users are fetched, and those of the sample compared, to see what an export lacks.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from pipeline.auth0.api import Fetch, Gone
from pipeline.auth0.errors import Auth0Down, UserIdRefused
from pipeline.auth0.profiles import keys_of, one_line
from pipeline.backfill.slices import Answer
from pipeline.changes import Export, Partial, exported
from pipeline.errors import CommandError, Poison

LARGE: Final = 10 * 1024
"""Bytes of a line from which a user is fetched: Auth0's limit of a user's metadata since August 2026."""


class Whole:
    """Auth0's answers about the users of an export."""

    def __init__(self, export: Export, fetch: Fetch, sample: Mapping[str, bytes], large: int = LARGE) -> None:
        """``sample`` has the JSON of users who were fetched before the export; ``large`` is in bytes."""
        self._export, self._fetch, self._sample, self._large = export, fetch, sample, large

    def __call__(self, user: Partial, keys: AbstractSet[str]) -> Answer | None:
        """Return Auth0's answer about a user who is large or in the sample; else None."""
        if len(bytes(user.profile)) > self._large:
            return self._answer(user, keys)
        body = self._sample.get(user.user_id)
        found = None if body is None else self._user(body)
        if found is None or found.updated_at != user.updated_at:  # the export has a later state of the user
            return None
        missing = keys_of(bytes(found.profile)) - keys
        return Answer(found if missing else user, missing)

    def _answer(self, user: Partial, keys: AbstractSet[str]) -> Answer | None:
        try:
            answer = self._fetch(user.user_id)
        except UserIdRefused:
            return None
        except Auth0Down as error:
            size = len(bytes(user.profile))
            raise CommandError(
                f"Auth0 does not answer a request for a user of {size:,} bytes ({error.detail}). Run this again; it "
                f"goes on. If that does not help, load users of this size as they are exported: --fetch-above {size}"
            ) from None
        if isinstance(answer, Gone) or answer.user_id != user.user_id:  # a linked identity is no user
            return Answer(None)
        found = self._user(answer.body)
        if found is None:
            return None
        same = found.updated_at == user.updated_at
        return Answer(found, keys_of(bytes(found.profile)) - keys if same else frozenset())

    def _user(self, body: bytes) -> Partial | None:
        """Return a user as a line of the export would be; None for one that no line can have."""
        try:
            return exported(one_line(body), self._export)[0]
        except Poison:
            return None
