"""Postgres: one statement per batch, last write wins by ``version``.

For changes that do not carry the whole user, the sink reads the rows, merges in Python and writes each row that is
still the same, in two statements per batch. It first inserts the rows of an export whose users are new.
"""

import re
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, LiteralString

import msgspec
import psycopg
from msgspec import Raw
from psycopg import Connection
from psycopg import errors as sqlstate
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import Jsonb

from pipeline import errors
from pipeline.changes import (
    EXPORT,
    Carried,
    Change,
    HistoryEntry,
    Known,
    Outcome,
    Partial,
    Snapshot,
    Tombstone,
    instant,
    known,
    merge,
    newest_with,
)
from pipeline.settings import BAD_URL, Database, is_loopback
from pipeline.sinks import NOT_OURS, B, Sink, T, bisect, halves

UPSERT: LiteralString = Path(__file__).with_name("upsert.sql").read_text("utf-8")
RECORD: LiteralString = Path(__file__).with_name("history.sql").read_text("utf-8")
# One statement and one round trip, so that a change is never in only one of the two tables.
RECORD_AND_UPSERT: LiteralString = f"WITH recorded AS ({RECORD})\n{UPSERT}"
_VERSIONS: LiteralString = "SELECT user_id, version, carried::text FROM auth0.user_rows WHERE user_id = ANY(%s)"

# Write a merged change only if the row is still the one that it was merged with.
_SEEN: LiteralString = """seen AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%s::jsonb) AS seen (user_id text, version text, carried jsonb)
)"""
GUARD: LiteralString = "WHERE stored.version < excluded.version"
_AS_SEEN: LiteralString = """WHERE EXISTS (
    SELECT FROM seen
    WHERE seen.user_id = excluded.user_id AND seen.version = stored.version
        AND seen.carried IS NOT DISTINCT FROM stored.carried
)"""
_STORED: LiteralString = """
SELECT user_id, version, source, event_id, updated_at, deleted_at, profile::text, carried::text
FROM auth0.users WHERE user_id = ANY(%s)
"""

INSERT: LiteralString = f"{UPSERT.partition('ON CONFLICT')[0]}ON CONFLICT (user_id) DO NOTHING RETURNING user_id"
MERGE: LiteralString = f"WITH {_SEEN}\n{UPSERT.replace(GUARD, _AS_SEEN)}"
RECORD_AND_MERGE: LiteralString = f"WITH recorded AS ({RECORD}), {_SEEN}\n{UPSERT.replace(GUARD, _AS_SEEN)}"

MERGES = 10
"""Attempts to merge a change while other writers change the row."""

# Of Auth0's data, Postgres refuses only JSON that is no jsonb, such as a number of 200,000 digits; constraints of
# the user's own refuse other rows.
_INVALID: LiteralString = """
SELECT place - 1, (pg_input_error_info(row, 'jsonb')).sql_error_code
FROM unnest(%s::text[]) WITH ORDINALITY AS rows (row, place) WHERE NOT pg_input_is_valid(row, 'jsonb')
"""
REFUSED_SECONDS = 1800.0
"""Seconds for which the sink fails a refused change without asking Postgres; SQS delivers it every few minutes."""
REMEMBERED = 10_000
"""Most refused changes to remember."""

_encode = msgspec.json.encode
_carried = msgspec.json.Decoder(Carried)

RDS_CERTIFICATES = Path(__file__).with_name("rds-ca-bundle.pem")
"""Root certificates of RDS in every region; no system's trust store has them."""

SYSTEM_CERTIFICATES = (
    "/etc/pki/tls/certs/ca-bundle.crt",  # in Lambda
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
)
"""Files of the public authorities. The client library of the wheel looks for them where it was built."""

RESUME_SECONDS = 40.0
"""Seconds for which to retry a connection to RDS. A paused Aurora takes 15 to resume, and 30 after a day; meanwhile
connections hang or are refused."""
PEOPLE_WAIT = 5
"""Seconds for a connection of a person, who tries again after a cluster has resumed."""

_PAUSE = 1.0

_SESSION = {
    "application_name": "auth0-sync",
    "connect_timeout": "10",
    "tcp_user_timeout": "10000",  # detect a dead peer after 10 s, before the function's time ends
    "options": "-c timezone=UTC -c statement_timeout=20s -c lock_timeout=5s",
}

# The errors by which PgBouncer and RDS Proxy refuse session options. The role's settings then apply.
_NO_OPTIONS = ("unsupported startup parameter", "command-line options")

# Errors about the data of a row, by SQLSTATE class or code: data exception, integrity violation, program
# limit exceeded (too deep, too large), untranslatable character.
_ABOUT_DATA = ("22", "23", "54")
# The server is no longer the writer, is shutting down, or has ended the session: reconnect.
_RECONNECT = ("25006", "57P0", "08")
# The schema or the rights do not (yet) allow the statement.
_NOT_READY = ("42", "3F", "28")
# A prepared statement is missing or exists already: another session prepared it, or this one was reset.
_PREPARED_ELSEWHERE = ("26000", "42P05")


def connect_for_people(database: Database, **session: str) -> Connection:
    """Open a connection for a command; see ``connect``. Raises ``StoreDown`` after ``PEOPLE_WAIT`` seconds."""
    return _connect(database, {"connect_timeout": str(PEOPLE_WAIT), **session}, time.monotonic())


def connect(database: Database, **session: str) -> Connection:
    """Open a connection in autocommit, where each statement is its own transaction.

    ``session`` overrides libpq parameters such as ``options``. Behind a pooler it prepares no statements.
    Raises ``StoreDown``, with IAM after ``RESUME_SECONDS``.
    """
    return _connect(database, session, time.monotonic() + (RESUME_SECONDS if database.iam else 0))


def _connect(database: Database, session: Mapping[str, str], deadline: float) -> Connection:
    parameters = {**_SESSION, **session}
    while True:
        try:
            connection = psycopg.connect(_conninfo(database, parameters), autocommit=True)
            if is_pooled(connection):
                connection.prepare_threshold = None  # overrides `prepare=True`
            return connection
        except psycopg.OperationalError as error:
            if "options" in parameters and any(words in str(error) for words in _NO_OPTIONS):
                del parameters["options"]
                continue
            if time.monotonic() + _PAUSE > deadline:
                # Safe to log: it has no row data, and no part of the password in a URL that `Database` accepts.
                raise errors.StoreDown(" ".join(str(error).split())) from error
        time.sleep(_PAUSE)


def is_pooled(connection: Connection) -> bool:
    """Return whether a pooler answers: poolers make up the process ids of their clients.

    Such a pooler may run each transaction in another session, where a name such as ``_pg3_0`` means whatever another
    client has prepared.
    """
    try:
        row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    except psycopg.Error:
        connection.close()
        raise
    return row != (connection.info.backend_pid,)


def _conninfo(database: Database, parameters: dict[str, str]) -> str:
    if not database.iam:
        return make_conninfo(**verified(database.url) | parameters)
    from pipeline.sinks.iam import token  # a URL does not need it

    return make_conninfo(
        host=database.host,
        port=str(database.port),
        dbname=database.name,
        user=database.user,
        password=token(database),
        sslmode="verify-full",
        sslrootcert=database.ca_file or str(RDS_CERTIFICATES),
        **parameters,
    )


def verified(url: str) -> dict[str, Any]:
    """Return the parameters of a URL; they verify the server unless the URL says how, or it is on this machine.

    Raises ``BadSettings`` without the error of libpq, which quotes the URL.
    """
    try:
        parameters = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        parameters = {}
    if not parameters:
        raise errors.BadSettings(f"DATABASE_URL {BAD_URL}; or it has a parameter that Postgres does not know")
    hosts = str(parameters.get("host", "")).split(",")
    if "sslmode" not in parameters and not all(map(_is_this_machine, hosts)):
        parameters["sslmode"] = "verify-full"
        parameters.setdefault("sslrootcert", _authorities(hosts))
    return parameters


def _is_this_machine(host: str) -> bool:
    return host == "" or host.startswith(("/", "@")) or is_loopback(host)  # a socket, or an address


def _authorities(hosts: Sequence[str]) -> str:
    """Return the root certificates: those of RDS for its hosts, else those that the system trusts."""
    if all(re.search(r"\.rds\.amazonaws\.com(\.cn)?$", host) for host in hosts):
        return str(RDS_CERTIFICATES)
    return next((path for path in SYSTEM_CERTIFICATES if Path(path).exists()), "system")


_Entries = Mapping[str, Sequence[HistoryEntry]]
"""History entries by user id, sorted by version; empty without history."""


class _ReadAhead(Iterator[B]):
    """Iterate over the batches that ``read`` makes of ``chunks``; ``fetch`` reads the next one ahead."""

    def __init__(self, chunks: Sequence[T], read: Callable[[T], B]) -> None:
        self._batches = map(read, chunks)
        self._left = len(chunks)
        self._fetched: list[B] = []

    @property
    def waits(self) -> bool:
        """Return whether ``fetch`` has anything to read."""
        return self._left > 0 and not self._fetched

    def fetch(self) -> None:
        self._fetched.append(next(self._batches))
        self._left -= 1

    def __next__(self) -> B:
        if not self._fetched:
            self.fetch()
        return self._fetched.pop()


class PostgresSink(Sink):
    """Keep one connection over invocations, and replace it when it breaks."""

    def __init__(self, connect: Callable[[], Connection], clock: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._clock = clock
        self._connection: Connection | None = None
        self._refused: dict[tuple[str, str], tuple[float, errors.Refused]] = {}
        self._upcoming: _ReadAhead[Any] = _ReadAhead((), list)
        self._pipelined = False

    def write(self, chunks: Sequence[T], read: Callable[[T], B]) -> Iterator[tuple[B, Outcome]]:
        """Read and apply chunks; see ``Sink``. Reads the next chunk while Postgres works on a statement."""
        self._upcoming = _ReadAhead(chunks, read)
        for batch in self._upcoming:
            yield batch, self.apply(batch.changes, batch.history)
        self._restart_idle_timeout()

    def apply(self, changes: Sequence[Change], history: Sequence[HistoryEntry] = ()) -> Outcome:
        """Apply changes; see ``Sink``. Only the rows that Postgres refuses fail, then without asking it for a while."""
        outcome = Outcome()
        if self._refused:
            changes = self._not_refused(changes, outcome)
            history = [entry for entry in history if entry.user_id not in outcome.failed]
        entries = {user_id: list(group) for user_id, group in groupby(history, lambda entry: entry.user_id)}
        whole = [change for change in changes if change.carried is None]
        others: list[Change] = [change for change in changes if change.carried is not None]
        written = self._write(whole, entries, outcome)
        rest = [change for change in whole if change.user_id not in written and change.user_id not in outcome.failed]
        if rest:
            others += self._compare(rest, outcome)
        if others and not entries:  # an export has no history
            others = self._insert(others, outcome)
        if others:
            self._merge(sorted(others, key=lambda change: change.user_id), entries, outcome)
        if outcome.failed:
            self._remember(changes, outcome)
        return outcome

    def _not_refused(self, changes: Sequence[Change], outcome: Outcome) -> Sequence[Change]:
        """Fail the changes that Postgres refused lately, and return the others."""
        now = self._clock()
        self._refused = {change: found for change, found in self._refused.items() if found[0] > now}
        for change in changes:
            if known := self._refused.get((change.user_id, change.version)):
                outcome.failed[change.user_id] = known[1]
        return [change for change in changes if change.user_id not in outcome.failed]

    def _remember(self, changes: Sequence[Change], outcome: Outcome) -> None:
        until = self._clock() + REFUSED_SECONDS
        for change in changes:
            error = outcome.failed.get(change.user_id)
            if isinstance(error, errors.Refused) and len(self._refused) < REMEMBERED:
                self._refused[change.user_id, change.version] = (until, error)

    def close(self) -> None:
        """Drop the connection; the next use opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(
        self,
        changes: Sequence[Change],
        entries: _Entries,
        outcome: Outcome,
        seen: Mapping[str, Change] | None = None,
    ) -> set[str]:
        """Write the changes with the entries of their users; return the ids of the users that were written.

        With ``seen``, write only where the row is still the one there (or still absent); else where it is older.
        """
        if not changes:
            return set()

        def upsert(some: Sequence[Change]) -> list[Any]:
            history = [entry for change in some for entry in entries[change.user_id]] if entries else []
            return self._execute(*_statement(some, history, seen))

        written: set[str] = set()
        for some, result in self._parts(upsert, changes, entries):
            if isinstance(result, errors.Refused):
                written |= self._write_newest(some[0], entries, outcome, result, seen)
            else:
                written.update(user_id for (user_id,) in result)
        return written

    def _insert(self, changes: Sequence[Change], outcome: Outcome) -> list[Change]:
        """Insert the exported users that the store lacks, which are most of them; return the other changes."""
        exported = [change for change in changes if change.source == EXPORT]
        done = self._write(exported, {}, outcome, seen={}) | outcome.failed.keys()
        return [change for change in changes if change.user_id not in done]

    def _parts(
        self, upsert: Callable[[Sequence[Change]], list[Any]], changes: Sequence[Change], entries: _Entries
    ) -> Iterator[tuple[Sequence[Change], list[Any] | errors.Refused]]:
        """Write changes as ``bisect`` does; but first find, in one statement, those that are no jsonb."""
        try:
            yield changes, upsert(changes)
            return
        except errors.Refused as error:
            invalid = {changes[0].user_id: error} if len(changes) == 1 else self._invalid(changes, entries)
        for change in changes:
            if change.user_id in invalid:
                yield [change], invalid[change.user_id]
        rest = [change for change in changes if change.user_id not in invalid]
        if invalid and rest:
            yield from bisect(upsert, rest)
        elif rest:
            yield from halves(upsert, rest)

    def _invalid(self, changes: Sequence[Change], entries: _Entries) -> dict[str, errors.Refused]:
        """Return the users of whose rows one is no jsonb; none if Postgres cannot tell (too deep for its stack)."""
        rows = [(change.user_id, row) for change in changes for row in (change, *entries.get(change.user_id, ()))]
        try:
            found = self._execute(_INVALID, [_encode(row).decode() for _, row in rows])
        except errors.Refused:
            return {}
        return {rows[place][0]: errors.Refused(f"{sqlstate.lookup(code).__name__} {code}") for place, code in found}

    def _write_newest(
        self,
        change: Change,
        entries: _Entries,
        outcome: Outcome,
        error: errors.Refused,
        seen: Mapping[str, Change] | None,
    ) -> set[str]:
        """Write a refused change alone, then the entries that it supersedes: they must not block it."""
        older = [entry for entry in entries.get(change.user_id, ()) if entry.version != change.version]
        if not older:
            outcome.failed[change.user_id] = error
            return set()
        newest = [entry for entry in entries[change.user_id] if entry.version == change.version]
        written = self._write([change], {change.user_id: newest}, outcome, seen=seen)
        if change.user_id not in outcome.failed:
            self._record(older, outcome)
        return written

    def _record(self, entries: Sequence[HistoryEntry], outcome: Outcome) -> None:
        for some, result in bisect(lambda some: self._execute(RECORD, _json(some)), entries):
            if isinstance(result, errors.Refused):
                outcome.unrecorded[some[0].user_id, some[0].version] = result

    def _compare(self, changes: Sequence[Change], outcome: Outcome) -> list[Change]:
        """Tell the duplicates from the stale among the changes that were not written.

        Returns those that are newer than a part of their row.
        """
        rows = self._execute(_VERSIONS, [change.user_id for change in changes])
        stored = {user_id: (version, carried) for user_id, version, carried in rows}
        newer = []
        for change in changes:
            version, carried = stored.get(change.user_id, ("", None))
            try:
                older = carried is not None and _carried.decode(carried).oldest < change.version
            except msgspec.MsgspecError:
                outcome.failed[change.user_id] = errors.Refused(NOT_OURS)
                continue
            if older:
                newer.append(change)
            else:
                (outcome.duplicate if version == change.version else outcome.stale).add(change.user_id)
        return newer

    def _merge(self, changes: Sequence[Change], entries: _Entries, outcome: Outcome) -> None:
        """Merge changes with their rows, and write those whose row no other writer has changed; try the rest again."""
        for _ in range(MERGES):
            stored, before = self._read_rows(changes, outcome)
            to_write: list[Change] = []
            unchanged: list[HistoryEntry] = []
            for change in changes:
                user_id = change.user_id
                if user_id in outcome.failed:
                    continue
                row = stored.get(user_id)
                if row is None:
                    to_write.append(change)
                    continue
                after = merge(before[user_id], known(change))
                if not after.same_as(before[user_id]):
                    to_write.append(newest_with(after, row, change))
                    continue
                (outcome.duplicate if before[user_id].includes(change.version) else outcome.stale).add(user_id)
                unchanged += entries.get(user_id, ())
            if unchanged:
                self._record(unchanged, outcome)
            done = self._write(to_write, entries, outcome, seen=stored) | outcome.failed.keys()
            left = {change.user_id for change in to_write} - done
            changes = [change for change in changes if change.user_id in left]
            if not changes:
                return
        for user_id in left:
            outcome.failed[user_id] = errors.StoreBusy(f"other writers changed the row {MERGES} times in a row")

    def _read_rows(
        self, changes: Sequence[Change], outcome: Outcome
    ) -> tuple[dict[str, Change], dict[str, Known[Raw]]]:
        """Return the users' rows as changes, and their known keys; fail the users whose rows no sink wrote."""
        stored: dict[str, Change] = {}
        held: dict[str, Known[Raw]] = {}
        for user_id, *row in self._execute(_STORED, [change.user_id for change in changes]):
            try:
                found = _stored(user_id, *row)
                stored[user_id], held[user_id] = found, known(found)
            except msgspec.MsgspecError:
                outcome.failed[user_id] = errors.Refused(NOT_OURS)
        return stored, held

    def _execute(self, statement: LiteralString, *parameters: object) -> list[Any]:
        """Run one statement, on a new connection if the kept one turns out to be dead.

        Trying again is safe: what a lost commit had written is a duplicate then.
        """
        kept = self._connection is not None
        try:
            return self._run(statement, parameters)
        except errors.StoreDown:
            if not kept:
                raise
        return self._run(statement, parameters)

    def _run(self, statement: LiteralString, parameters: tuple[object, ...]) -> list[Any]:
        if self._connection is None:
            self._connection = self._connect()
        try:
            self._pipelined = self._upcoming.waits
            if not self._pipelined:
                return self._connection.execute(statement, parameters, prepare=True).fetchall()
            with self._connection.pipeline():  # which sends without waiting for the answer
                cursor = self._connection.execute(statement, parameters, prepare=True)
                _flush(self._connection)
                self._upcoming.fetch()
            return cursor.fetchall()
        except psycopg.Error as error:
            if error.sqlstate in _PREPARED_ELSEWHERE and self._connection.prepare_threshold is not None:
                self._connection.prepare_threshold = None
                return self._run(statement, parameters)
            failure = _classify(error, broken=self._connection.broken)
            if isinstance(failure, errors.StoreDown):
                self.close()
            raise failure from error

    def _restart_idle_timeout(self) -> None:
        """Let ``idle_session_timeout`` end the session, without which Aurora would not pause.

        psycopg ends a pipeline by a Flush message after the Sync, and Postgres stops the timeout at any message, to
        start it again only after the next statement (psycopg 3.3, ``Pipeline._exit_gen``; ``PostgresMain``).
        """
        if self._pipelined and self._connection is not None:
            try:
                self._connection.execute("", prepare=False)
            except psycopg.Error:
                self.close()
            self._pipelined = False


def _flush(connection: Connection) -> None:
    """Send the bytes that libpq still buffers as the socket is full: the server needs the whole statement to start.

    A second thread would be no help: it would hold the interpreter's lock for milliseconds at every turn.
    """
    while connection.pgconn.flush():
        select.select([], [connection.fileno()], [])


def _statement(
    changes: Sequence[Change], history: Sequence[HistoryEntry], seen: Mapping[str, Change] | None
) -> tuple[LiteralString, *tuple[object, ...]]:
    """Return the statement that writes ``changes``, and its parameters; see ``PostgresSink._write`` for ``seen``."""
    if seen is None:
        return (RECORD_AND_UPSERT, _json(history), _json(changes)) if history else (UPSERT, _json(changes))
    rows = [seen[change.user_id] for change in changes if change.user_id in seen]
    if not rows and not history:
        return (INSERT, _json(changes))
    expected = Jsonb(
        [{"user_id": row.user_id, "version": row.version, "carried": row.carried} for row in rows], _encode
    )
    if history:
        return (RECORD_AND_MERGE, _json(history), expected, _json(changes))
    return (MERGE, expected, _json(changes))


def _stored(
    user_id: str,
    version: str,
    source: str,
    event_id: str,
    updated_at: datetime,
    deleted_at: datetime | None,
    profile: str,
    carried: str | None,
) -> Change:
    """Return a row as the change that would write it."""
    moment = instant(updated_at.isoformat())
    if deleted_at is not None:
        return Tombstone(user_id, version, source, event_id, moment, instant(deleted_at.isoformat()))
    row = (user_id, version, source, event_id, moment, Raw(profile.encode()))
    return Snapshot(*row) if carried is None else Partial(*row, _carried.decode(carried))


def _json(rows: Sequence[Change] | Sequence[HistoryEntry]) -> Jsonb:
    return Jsonb(rows, _encode)


def _classify(error: psycopg.Error, *, broken: bool) -> errors.Auth0SyncError:
    state = error.sqlstate or ""
    if broken or not state or state.startswith(_RECONNECT):
        return errors.StoreDown(_describe(error))
    if state.startswith(_ABOUT_DATA):
        return errors.Refused(_describe(error))
    if state.startswith(_NOT_READY):
        return errors.StoreNotReady(_describe(error))
    return errors.StoreBusy(_describe(error))


def _describe(error: psycopg.Error) -> str:
    """Return the error without its data: Postgres quotes values in its messages."""
    return f"{type(error).__name__} {error.sqlstate}" if error.sqlstate else type(error).__name__
