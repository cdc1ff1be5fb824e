"""Send the newer store's user to the queue of the other store's sink."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec import Raw

from pipeline.changes import Snapshot, Tombstone, read
from pipeline.delivery import Delivery
from pipeline.delivery.consumers import Consumer
from pipeline.delivery.envelope import StoredUser, stored_user
from pipeline.delivery.errors import cause
from pipeline.errors import Poison
from pipeline.events import decode_deep
from pipeline.reconcile import STORES, Difference, Kind
from pipeline.reconcile.canonical import Attribute, document
from pipeline.reconcile.compare import METADATA, Item
from pipeline.reconcile.look import Stores, batches
from pipeline.reconcile.postgres import READ, Row

SENDER: Final = "reconcile"
DELETIONS: Final = 0.01
"""Share of a store's users above which a repair must not delete users without a confirmation."""
PAUSE: Final = 2.0
"""Seconds between two looks at the users that were sent."""

TIMEOUT: Final = 180.0
"""Seconds without a repaired user after which the look gives up: the sink takes a batch within seconds."""

_ORDER: Final = ("user_id", "version", "source", "event_id")
_keys = msgspec.json.Decoder(dict[str, Raw])


class NotSent(Poison):
    """The newer store does not have the whole user: DynamoDB omits what exceeds 400 KB, the Data API 64 KB a row."""


class Untrusted(Poison):
    """Both stores have the same version with different values: only a person knows which is right (--trust)."""


@dataclass
class Repair:
    """The result of a repair."""

    sent: Counter[Consumer] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    """Reason why a user was not sent, to number of users."""
    users: list[str] = field(default_factory=list)
    """Users that were sent."""


def deletions(drift: Sequence[Difference], users: Mapping[Consumer, int]) -> Mapping[Consumer, int]:
    """Return the number of users to delete by store, where it is more than the share that needs a confirmation."""
    ghosts = Counter(one.store for one in drift if one.kind is Kind.GHOST)
    return {store: ghosts[store] for store in users if ghosts[store] > users[store] * DELETIONS}


def repair(
    stores: Stores,
    drift: Sequence[Difference],
    targets: Mapping[Consumer, Delivery],
    *,
    trust: Consumer | None,
    update: Callable[[str], None] = lambda _: None,
) -> Repair:
    """Send users as they are now, if they still differ; without ``trust``, not those of one version."""
    done = Repair()
    for user_ids in batches((one.user_id for one in drift), READ):
        waiting: dict[Consumer, list[str]] = {consumer: [] for consumer in targets}
        names: dict[Consumer, list[str]] = {consumer: [] for consumer in targets}
        rows, items = stores.postgres.read(user_ids), stores.dynamodb.read(user_ids)
        for one in stores.differences_of(user_ids, rows, items):
            try:
                messages = _messages(one, rows.get(one.user_id), items.get(one.user_id), trust)
            except Poison as error:
                done.refused[error.reason] += 1
                continue
            for consumer, body in messages:
                waiting[consumer].append(body)
                names[consumer].append(one.user_id)
        taken: dict[str, None] = {}
        for consumer, bodies in waiting.items():
            failed = targets[consumer].send(bodies).failed if bodies else {}
            done.sent[consumer] += len(bodies) - len(failed)
            done.refused.update(cause(error) for error in failed.values())
            taken |= dict.fromkeys(name for place, name in enumerate(names[consumer]) if place not in failed)
        done.users += taken
        update(f"{len(done.users):,} users sent")
    return done


def _messages(
    one: Difference, row: Row | None, item: Item | None, trust: Consumer | None
) -> list[tuple[Consumer, str]]:
    """Return the messages that repair one user, each with its consumer."""
    if one.kind is Kind.DIFFERENT and trust is None:
        raise Untrusted
    ahead = trust if one.kind is Kind.DIFFERENT else other(one.store)
    user = _of_row(row) if ahead is Consumer.POSTGRES else _of_item(item)
    body = stored_user(SENDER, user, overwrite=one.kind is Kind.DIFFERENT)
    [change, *_] = read(body)
    if not isinstance(change, Snapshot | Tombstone) or change.user_id != user.user_id:
        raise NotSent
    # If the event gets a new version, both stores need it.
    both = change.version != user.version
    return [(consumer, body) for consumer in STORES if both or consumer is one.store]


def other(store: Consumer | None) -> Consumer:
    """Return the other store."""
    return Consumer.DYNAMODB if store is Consumer.POSTGRES else Consumer.POSTGRES


def _of_row(row: Row | None) -> StoredUser:
    if row is None or row.profile is None:
        raise NotSent
    try:
        profile = decode_deep(_keys, row.profile.encode())
    except msgspec.DecodeError:  # no object: changed by hand
        raise NotSent from None
    for name in METADATA:  # whose columns may have been changed by hand
        metadata = getattr(row, name)
        if name in profile or metadata != "{}":
            profile[name] = Raw(metadata.encode())
    whole = msgspec.json.encode(profile).decode()
    return StoredUser(row.user_id, row.version, row.source, row.event_id, row.deleted, whole, row.carried)


def _of_item(item: Item | None) -> StoredUser:
    if item is None or "omitted" in item:
        raise NotSent
    try:
        deleted = "deleted_at" in item
        user_id, version, source, event_id = (str(item[name]["S"]) for name in _ORDER)
        profile, carried = "" if deleted else _profile(item), item["carried"]["S"] if "carried" in item else None
        return StoredUser(user_id, version, source, event_id, deleted, profile, carried)
    except (KeyError, msgspec.DecodeError):  # changed by hand
        raise NotSent from None


def _profile(item: Item) -> str:
    """Return the whole user of an item as JSON; an item has metadata even where the user has none."""
    text = item["profile"]["S"] if "S" in item["profile"] else _json(item["profile"])
    whole = decode_deep(_keys, text.encode())
    for name in METADATA:
        metadata: Any = item[name]
        if "carried" in item or metadata != {"M": {}}:
            whole[name] = Raw(_json(metadata).encode())
    return msgspec.json.encode(whole).decode()


def _json(value: Mapping[str, Any]) -> str:
    return document(msgspec.convert(value, Attribute))


def look_again(
    stores: Stores,
    drift: Sequence[Difference],
    done: Repair,
    update: Callable[[str], None] = lambda _: None,
    *,
    timeout: float = TIMEOUT,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Difference]:
    """Wait until the stores agree about the users that were sent, and return what of the drift is left."""
    sent = set(done.users)

    def differences(user_ids: Sequence[str]) -> list[Difference]:
        return [one for batch in batches(user_ids, READ) for one in stores.differences(batch)]

    left = until_repaired(list(sent), differences, update, timeout=timeout, sleep=sleep)
    return [*left, *differences([one.user_id for one in drift if one.user_id not in sent])]


def until_repaired(
    user_ids: Sequence[str],
    differences: Callable[[Sequence[str]], list[Difference]],
    update: Callable[[str], None] = lambda _: None,
    *,
    timeout: float = TIMEOUT,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Difference]:
    """Wait until no user differs, or none was repaired for ``timeout`` seconds; return what differs."""
    left, deadline = list(user_ids), time.monotonic() + timeout
    while True:
        found = differences(left)
        still = list(dict.fromkeys(one.user_id for one in found))
        update(f"{len(user_ids) - len(still):,} of {len(user_ids):,} users repaired")
        if not found or time.monotonic() > deadline:
            return found
        if len(still) < len(left):
            deadline = time.monotonic() + timeout
        left = still
        sleep(PAUSE)
