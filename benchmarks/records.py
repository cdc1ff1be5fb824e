"""Batches as Lambda gets them: changes of distinct users, each newer than the batch before, about 4.5 KB an event.

A change is the user's own: to metadata, name, address or block, or a login, as often as in ``devstack.traffic``.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from devstack.traffic import Event, envelope, sqs_record
from devstack.traffic.logs import ip_address, user_updated
from devstack.traffic.profiles import changed, connection_for, logged_in, moment, new_profile, timestamp
from devstack.traffic.seeded_random import SeededRandom
from pipeline.changes import read

Records = list[dict[str, Any]]
Profile = dict[str, Any]
TEMPLATES = 20_000
"""Users that are made one by one; the others are copies of them, see ``copied``."""
START = 1_790_000_000_000
"""Milliseconds of the first change; any moment will do."""
CREATED = START - 86_400_000
_KINDS = ((70, "update"), (30, "login"))  # 44 to 25 in devstack.traffic, where a quarter of the logins fail


class Users:
    """``count`` users of whom ``batch`` gives the next changes; the same for the same seed."""

    def __init__(self, count: int, seed: int = 1) -> None:
        self._rng = SeededRandom(seed)
        self._count = count
        self._changed: dict[int, bytes] = {}
        self._turn = itertools.cycle(range(count))
        self._now = itertools.count(START, 1000)
        self._log_ids = itertools.count(10**52)

    def __len__(self) -> int:
        return self._count

    def batch(self, size: int) -> Records:
        """SQS records with a change of each of the next ``size`` users."""
        now = next(self._now)
        return [self._change(next(self._turn), now) for _ in range(size)]

    def anywhere(self, size: int) -> Records:
        """SQS records with a change of each of ``size`` users at random."""
        now = next(self._now)
        numbers: set[int] = set()
        while len(numbers) < size:
            numbers.add(self._rng.below(self._count))
        return [self._change(number, now) for number in sorted(numbers)]

    def everyone(self, size: int = 1000) -> Iterator[Records]:
        """SQS records with every user as they are, in batches; older than every change."""
        now = CREATED
        for start in range(0, self._count, size):
            numbers = range(start, min(start + size, self._count))
            yield [self._record(self.profile(number) | {"updated_at": timestamp(now)}, {}, now) for number in numbers]

    def profile(self, number: int) -> Profile:
        """The user as of the last change."""
        if number in self._changed:
            found: Profile = msgspec.json.decode(self._changed[number])
            return found
        return copied(_templates()[number % TEMPLATES], number)

    def _change(self, number: int, now: int) -> dict[str, Any]:
        before = self.profile(number)
        request: Profile = {}
        while True:
            if self._rng.weighted(_KINDS) == "login":
                after = logged_in(before, now, ip_address(self._rng))
            else:
                request, after = changed(self._rng, before, now)
            after |= {"updated_at": timestamp(now)}
            record = self._record(after, request, now)
            if _is_whole(record):
                self._changed[number] = msgspec.json.encode(after)
                return record

    def _record(self, profile: Profile, request: Profile, now: int) -> dict[str, Any]:
        log_id = f"900{next(self._log_ids)}"
        data = user_updated(self._rng, now + 10, log_id, profile, request)
        return _sqs(profile, data, log_id, now)


def copied(template: Profile, number: int) -> Profile:
    """A copy of ``template`` for user ``number``, with an id, an address and a time of consent of its own."""
    if number < TEMPLATES:
        return template
    copy = template | {"user_id": f"auth0|{hashlib.md5(str(number).encode()).hexdigest()[:24]}"}
    if "email" in copy:
        copy["email"] = f"{number}.{copy['email']}"
    if "marketing" in copy.get("user_metadata", {}):
        marketing = copy["user_metadata"]["marketing"] | {"consented_at": timestamp(number)}
        copy["user_metadata"] = copy["user_metadata"] | {"marketing": marketing}
    return copy


COPIED = """
SELECT
    CASE WHEN n < {templates} THEN user_id ELSE 'auth0|' || left(md5(n::text), 24) END AS user_id,
    CASE WHEN n < {templates} THEN email ELSE n || '.' || email END AS email,
    CASE WHEN n < {templates} THEN user_metadata ELSE
        jsonb_set(user_metadata, '{{marketing,consented_at}}', to_jsonb(to_char(
            timestamp '1970-01-01' + n * interval '1 ms', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
        )), false)
    END AS user_metadata,
    {others}
FROM generate_series({start}, {end} - 1) AS n JOIN template ON number = n % {templates}
"""
"""``copied`` in SQL, of the users in the table ``template``."""


@cache
def _templates() -> Sequence[Profile]:
    """Users whose changes are whole; one in five is not plain ASCII.

    The generator's own users nearly all are not, to be hard to store, and of a hundred one looks masked.
    """
    rng, made = SeededRandom(1), []
    for number in range(TEMPLATES):
        while True:
            profile = new_profile(rng, connection_for(rng), number, CREATED)
            data = user_updated(rng, START, "900", profile, {})
            if (number % 5 == 0 or _is_plain(profile)) and _is_whole(_sqs(profile, data, "900", START)):
                break
        made.append(profile)
    return made


def _is_plain(profile: Profile) -> bool:
    return json.dumps(profile, ensure_ascii=False).isascii()


def _is_whole(record: dict[str, Any]) -> bool:
    return len(read(record["body"])) == 1


def _sqs(profile: Profile, data: dict[str, Any], log_id: str, now: int) -> dict[str, Any]:
    event = Event(
        detail={"log_id": log_id, "data": data}, time=moment(now + 500), kind="update", user_id=profile["user_id"]
    )
    return sqs_record(envelope(event), f"message-{log_id[-20:]}")
