"""Slices of an export into Postgres, as the function gets them: new, again, beside the upsert, and two at a time."""

import base64
import gzip
import logging
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import msgspec
import psutil

from benchmarks.records import Users
from benchmarks.timing import cpu_seconds
from pipeline.backfill.slices import USERS
from pipeline.changes import Export, Snapshot, exported, read
from pipeline.functions.migrate import migrate
from pipeline.functions.sync import Sync
from pipeline.settings import Database
from pipeline.sinks import postgres

LEAST = 100_000
"""Least number of users; the load of fewer ends before its rate is steady."""
TEMPLATES = 1000
BATCH = 1000
EXECUTIONS = 2
"""Executions of the function at a time, the default of ``backfill.maximum_concurrency``."""
FIELDS = (
    "app_metadata",
    "blocked",
    "created_at",
    "email",
    "email_verified",
    "family_name",
    "given_name",
    "identities",
    "last_ip",
    "last_login",
    "last_password_reset",
    "logins_count",
    "multifactor",
    "name",
    "nickname",
    "phone_number",
    "phone_verified",
    "picture",
    "updated_at",
    "user_id",
    "user_metadata",
    "username",
)
"""The fields that Auth0 can export; a user lacks a third of them."""
_CARRIED = "SELECT avg(pg_column_size(carried)) FROM auth0.user_rows WHERE carried IS NOT NULL"


class Turn:
    """The cost of one kind of load: time, and CPU time of this process and of Postgres."""

    def __init__(self, server: psutil.Process) -> None:
        self._server = server
        self.users, self._seconds, self._here, self._there = 0, 0.0, 0.0, 0.0

    def run(self, users: int, work: Callable[[], None]) -> None:
        """Add the cost of ``work``, which loads ``users``."""
        start, here, there = time.perf_counter(), time.process_time(), cpu_seconds(self._server)
        work()
        self._seconds += time.perf_counter() - start
        self._here += time.process_time() - here
        self._there += cpu_seconds(self._server) - there
        self.users += users

    def figures(self) -> dict[str, float]:
        """Return users per second, and microseconds of CPU per user."""
        return {
            "users_per_second": round(self.users / self._seconds),
            "cpu_function": round(self._here / self.users * 1e6, 1),
            "cpu_postgres": round(self._there / self.users * 1e6, 1),
        }


def run(url: str, users: int) -> dict[str, Any]:
    """Users per second and CPU time, reading included, and memory; ``statement`` gets whole users, read before.

    Every tenth slice goes to the contestants of that comparison, in turns, so that the table grows for all alike.
    """
    database = Database(url=url)
    migrate(database)
    connection = postgres.connect(database)
    sink = postgres.PostgresSink(lambda: connection)
    function = Sync(sink, "postgres", log=_silent(), measure=lambda *_: None)
    export = Export("bench", "2026-11-01T00:00:00.000000Z", FIELDS)
    lines = _templates()
    turns = {name: Turn(psutil.Process(connection.info.backend_pid)) for name in ("first", "again", "statement")}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, users_of_slice in enumerate(_ranges(users)):
        some = [_line(lines[user % TEMPLATES], user) for user in users_of_slice]
        if number % 10 == 9:
            turns["statement"].run(len(some), _statement(sink, some, export))
        else:
            turns["first"].run(len(some), _slice(function, some, export))
        if number % 10 == 5:
            turns["again"].run(len(some), _slice(function, some, export))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    [(carried,)] = connection.execute(_CARRIED).fetchall()
    sink.close()
    return {
        "users": users,
        "line_bytes": sum(map(len, lines)) // TEMPLATES,
        "carried_bytes": int(carried),
        **{name: turn.figures() for name, turn in turns.items() if turn.users},
        "peak_megabytes": after // 1024,
        "of_which_before": before // 1024,
    }


def run_side_by_side(url: str, users: int) -> dict[str, Any]:
    """Users per second of as many executions as a deployment has by default, each a process with its own session."""
    migrate(Database(url=url))
    lines, export = _templates(), Export("bench", "2026-11-01T00:00:00.000000Z", FIELDS)
    slices = [_event([_line(lines[user % TEMPLATES], user) for user in some], export) for some in _ranges(users)]
    with ProcessPoolExecutor(EXECUTIONS, get_context("spawn"), _start, (url,)) as pool:
        warm, rest = slices[: 5 * EXECUTIONS], slices[5 * EXECUTIONS :]
        list(pool.map(_load, warm))
        start = time.perf_counter()
        loaded = sum(pool.map(_load, rest))
        seconds = time.perf_counter() - start
    assert loaded == users - len(warm) * USERS
    return {"users": users, "executions": EXECUTIONS, "users_per_second": round(loaded / seconds)}


_function: Sync
"""The function of an execution's process."""


def _start(url: str) -> None:
    global _function  # noqa: PLW0603 - as a Lambda function keeps its sink
    connection = postgres.connect(Database(url=url))
    _function = Sync(postgres.PostgresSink(lambda: connection), "postgres", log=_silent(), measure=lambda *_: None)


def _load(event: dict[str, Any]) -> int:
    loaded: dict[str, int] = _function.load(event)["loaded"]
    assert loaded["rows"] == loaded["applied"], loaded
    return loaded["applied"]


def _ranges(users: int) -> Iterator[range]:
    return (range(first, min(first + USERS, users)) for first in range(0, users, USERS))


def _event(lines: list[bytes], export: Export) -> dict[str, Any]:
    content = base64.b64encode(gzip.compress(b"\n".join(lines), compresslevel=6)).decode()
    return {"export": msgspec.to_builtins(export), "lines": content}


def _slice(function: Sync, lines: list[bytes], export: Export) -> Callable[[], None]:
    event = _event(lines, export)

    def work() -> None:
        loaded = function.load(event)["loaded"]
        assert loaded["rows"] == loaded["applied"] + loaded["duplicate"] == len(lines), loaded

    return work


def _statement(sink: postgres.PostgresSink, lines: list[bytes], export: Export) -> Callable[[], None]:
    rows = [exported(line, export)[0] for line in lines]
    whole = [Snapshot(r.user_id, r.version, r.source, r.event_id, r.updated_at, r.profile) for r in rows]

    def work() -> None:
        for place in range(0, len(whole), BATCH):
            sink.apply(whole[place : place + BATCH])

    return work


def _templates() -> list[bytes]:
    """Users as an export has them, with a mark in place of the id."""
    found = []
    for record in Users(TEMPLATES).batch(TEMPLATES):
        [user] = read(record["body"])
        assert isinstance(user, Snapshot)
        profile = {key: value for key, value in msgspec.json.decode(user.profile).items() if key in FIELDS}
        found.append(msgspec.json.encode(profile | {"user_id": "@@"}))
    return found


def _line(template: bytes, number: int) -> bytes:
    return template.replace(b'"@@"', b'"auth0|%024x"' % number, 1)


def _silent() -> Any:
    return logging.getLogger("benchmarks")
