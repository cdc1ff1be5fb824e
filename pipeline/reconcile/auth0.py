"""Compare both stores with Auth0: with an export of its users, and then, user by user, with Auth0 itself.

An export is no instant, and older than the stores. So it only has candidates; Auth0 answers the request for a
single user with the user of that moment.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from pipeline.auth0 import envelope
from pipeline.auth0.api import Fetch, Fetched, Gone
from pipeline.auth0.errors import NobodyKnown, UserIdRefused
from pipeline.changes import instant
from pipeline.delivery import Delivery
from pipeline.delivery.consumers import Consumer
from pipeline.delivery.envelope import INSTANT
from pipeline.delivery.errors import cause
from pipeline.errors import CommandError, Poison
from pipeline.events import decode_deep, storable
from pipeline.progress import Progress
from pipeline.reconcile import Counts, Difference, Kind, counted
from pipeline.reconcile.compare import Item, holds, is_live, of_row, of_user, version_of, written
from pipeline.reconcile.digests import Listing, differing
from pipeline.reconcile.look import Stores, batches, is_young, suspects, total
from pipeline.reconcile.postgres import READ, PostgresUsers, Row

SENDER: Final = "reconcile"


class Exported(NamedTuple):
    """A user in an export; ``updated_at`` is an ``instant``."""

    user_id: str
    updated_at: str


class _Line(msgspec.Struct, frozen=True):
    user_id: str
    updated_at: str


_line = msgspec.json.Decoder(_Line)


@dataclass
class Report:
    """The users that differ from Auth0."""

    exported: int = 0
    fetched: int = 0
    truth: dict[str, Fetched | Gone] = field(default_factory=dict)
    """Auth0's answer about each user that differs."""
    drift: list[Difference] = field(default_factory=list)
    in_flight: int = 0
    """Users that changed a moment ago."""
    unconfirmed: int = 0
    """Users who may differ and were not fetched, as there were too many."""

    @property
    def counts(self) -> Counts:
        """Return the number of users by kind and store."""
        return counted(self.drift)


def exported(lines: Iterable[bytes]) -> Iterator[Exported]:
    """Read the lines of an export. Raises CommandError for a line without a user id and ``updated_at``."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            user = decode_deep(_line, storable(line))
            yield Exported(user.user_id, instant(user.updated_at))
        except (msgspec.DecodeError, UnicodeDecodeError, Poison):
            raise CommandError(
                f"Line {number} of the export is no user with user_id and updated_at: export both fields, as JSON."
            ) from None


def look(
    stores: Stores,
    by_update: PostgresUsers,
    export: Callable[[], Iterator[Exported]],
    taken_at: datetime,
    fetch: Fetch,
    settled: Callable[[], Mapping[Consumer, datetime]],
    progress: Progress,
    most: int,
) -> Report:
    """Compare the stores with Auth0. ``export`` reads the export anew; ``taken_at`` is the beginning of its job.

    Fetches ``most`` users at most. Raises NobodyKnown if Auth0 knows none of those that it exported.
    """
    report, moment = Report(), instant(taken_at.isoformat())
    with progress.step("Export") as step:
        candidates = list(_candidates(report, stores, by_update, export, moment))
        step.update(f"{report.exported:,} users, of whom {len(candidates):,} may differ")
    with progress.step("Auth0") as step:
        until = settled()
        report.unconfirmed = len(candidates[most:])
        _require_the_same_tenant(export, fetch, candidates[:most])
        for user_ids in batches(candidates[:most], READ):
            answers = {user_id: answer for user_id in user_ids if (answer := _answer(fetch, user_id))}
            rows, items = stores.postgres.read(user_ids), stores.dynamodb.read(user_ids)
            for user_id, answer in answers.items():
                report.fetched += 1
                step.update(f"{report.fetched:,} users fetched")
                for one in differences(user_id, answer, rows.get(user_id), items.get(user_id)):
                    if is_young(one, until):
                        report.in_flight += 1
                    else:
                        report.drift.append(one)
                        report.truth[user_id] = answer
    return report


def _candidates(
    report: Report,
    stores: Stores,
    by_update: PostgresUsers,
    export: Callable[[], Iterator[Exported]],
    taken_at: str,
) -> Iterator[str]:
    """Yield the users who may differ: what changed after the export was taken is newer in the store."""
    listing = Listing()
    with ThreadPoolExecutor(1) as pool:
        digests = pool.submit(by_update.digests)
        for user in export():
            listing.add(user.user_id, f"{user.updated_at} {user.user_id}")
            report.exported += 1
        buckets = differing(digests.result(), listing.digests())
    wanted = set(suspects(listing, by_update, buckets, total(digests.result())))
    updates = {user.user_id: user.updated_at for user in export() if user.user_id in wanted}
    for user_ids in batches(sorted(wanted, key=str.encode), READ):
        rows = stores.postgres.read(user_ids)
        for user_id in user_ids:
            row = rows.get(user_id)
            known = row.version[:INSTANT] if row else ""
            exists = user_id in updates
            if (exists and known < updates[user_id]) or (not exists and row and not row.deleted and known < taken_at):
                yield user_id


def _require_the_same_tenant(export: Callable[[], Iterator[Exported]], fetch: Fetch, candidates: Sequence[str]) -> None:
    """Raise NobodyKnown unless Auth0 knows an exported user: another tenant knows none of them."""
    if not candidates:
        return
    for _, user in zip(range(10), export(), strict=False):
        if isinstance(fetch(user.user_id), Fetched):
            return
    raise NobodyKnown("none of the first users of the export")


def _answer(fetch: Fetch, user_id: str) -> Fetched | Gone | None:
    try:
        return fetch(user_id)
    except UserIdRefused:  # a user of a test, such as that of the smoke test
        return None


def differences(user_id: str, answer: Fetched | Gone, row: Row | None, item: Item | None) -> Iterator[Difference]:
    """Yield the differences of the stores from Auth0's answer about a user.

    A user who is linked to another one is no user: Auth0 answers with the other one.
    """
    user = storable(answer.body) if isinstance(answer, Fetched) and answer.user_id == user_id else None
    sides = (
        (Consumer.POSTGRES, row is not None and not row.deleted, row.version if row else "", row and row.synced_at),
        (Consumer.DYNAMODB, is_live(item), version_of(item), written(item)),
    )
    for store, live, version, written_at in sides:
        if user is None:
            if live:
                yield Difference(Kind.GHOST, store, user_id, written_at)
            continue
        updated_at, known = instant(decode_deep(_line, user).updated_at), version[:INSTANT]
        changed_at = datetime.fromisoformat(updated_at)
        if not live and known <= updated_at:
            yield Difference(Kind.MISSING, store, user_id, changed_at)
        elif live and known < updated_at:
            yield Difference(Kind.STALE, store, user_id, changed_at)
        elif live and known == updated_at and not _has(row if store is Consumer.POSTGRES else None, item, user):
            yield Difference(Kind.DIFFERENT, store, user_id, changed_at)


def _has(row: Row | None, item: Item | None, user: bytes) -> bool:
    """Return whether a row, or else an item, has the values of a user."""
    if row is not None:
        return row.profile is None or of_row(row) == of_user(user)
    return item is not None and holds(item, of_user(user))


@dataclass
class Repair:
    """The result of a repair."""

    sent: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Reason why a sink did not take a user, to number of users."""


def repair(report: Report, targets: Sequence[Delivery]) -> Repair:
    """Send Auth0's answers to both stores, so that they keep the same version."""
    done = Repair()
    for user_ids in batches(report.truth, READ):
        bodies = [_event(user_id, report.truth[user_id]) for user_id in user_ids]
        failed = {place: error for target in targets for place, error in target.send(bodies).failed.items()}
        done.sent += len(bodies) - len(failed)
        done.refused.update(cause(error) for error in failed.values())
    return done


def _event(user_id: str, answer: Fetched | Gone) -> str:
    if isinstance(answer, Fetched) and answer.user_id == user_id:
        return envelope.updated(answer.body, answer.asked_at, SENDER)
    return envelope.deleted(user_id, answer.asked_at, SENDER)


def left(stores: Stores, report: Report, user_ids: Sequence[str]) -> list[Difference]:
    """Return the remaining differences of the stores from Auth0's answers about users."""
    found: list[Difference] = []
    for batch in batches(user_ids, READ):
        rows, items = stores.postgres.read(batch), stores.dynamodb.read(batch)
        for user_id in batch:
            found += differences(user_id, report.truth[user_id], rows.get(user_id), items.get(user_id))
    return found
