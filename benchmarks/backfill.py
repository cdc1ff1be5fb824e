"""Slices of an export into Postgres, as the sink's function gets them: the first time, again, and beside the upsert."""

import base64
import gzip
import logging
import resource
import time
from typing import Any

import msgspec

from benchmarks.records import Users
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


def run(url: str, users: int) -> dict[str, Any]:
    """Users per second, reading included, and the memory of the process; ``statement`` gets whole users, read before.

    Every tenth slice goes to the contestants of that comparison, in turns, so that the table grows for all alike.
    """
    database = Database(url=url)
    migrate(database)
    sink = postgres.PostgresSink(lambda: postgres.connect(database))
    function = Sync(sink, "postgres", log=_silent(), measure=lambda *_: None)
    export = Export("bench", "2026-11-01T00:00:00.000000Z", FIELDS)
    lines = _templates()
    seconds = dict.fromkeys(("first", "again", "statement"), 0.0)
    counts = dict.fromkeys(seconds, 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, first in enumerate(range(0, users, USERS)):
        some = [_line(lines[user % TEMPLATES], user) for user in range(first, min(first + USERS, users))]
        if number % 10 == 9:
            turn, work = "statement", _statement(sink, some, export)
        else:
            turn, work = "first", _slice(function, some, export)
        seconds[turn] += work()
        counts[turn] += len(some)
        if number % 10 == 5:
            seconds["again"] += _slice(function, some, export)()
            counts["again"] += len(some)
    sink.close()
    rates = {turn: round(counts[turn] / seconds[turn]) for turn in seconds if counts[turn]}
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "users": users,
        "line_bytes": sum(map(len, lines)) // TEMPLATES,
        "users_per_second": rates,
        "peak_megabytes": after // 1024,
        "of_which_before": before // 1024,
    }


def _slice(function: Sync, lines: list[bytes], export: Export) -> Any:
    content = base64.b64encode(gzip.compress(b"\n".join(lines), compresslevel=6)).decode()
    event = {"export": msgspec.to_builtins(export), "lines": content}

    def work() -> float:
        start = time.perf_counter()
        loaded = function.load(event)["loaded"]
        taken = time.perf_counter() - start
        assert loaded["rows"] == loaded["applied"] + loaded["duplicate"] == len(lines), loaded
        return taken

    return work


def _statement(sink: postgres.PostgresSink, lines: list[bytes], export: Export) -> Any:
    rows = [exported(line, export)[0] for line in lines]
    whole = [Snapshot(r.user_id, r.version, r.source, r.event_id, r.updated_at, r.profile) for r in rows]

    def work() -> float:
        start = time.perf_counter()
        for place in range(0, len(whole), BATCH):
            sink.apply(whole[place : place + BATCH])
        return time.perf_counter() - start

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
