"""DynamoDB: one conditional put per user, last write wins by ``version``.

An item: ``user_id`` (key), ``version``, ``updated_at``, ``source``, ``event_id``, ``synced_at``, ``user_metadata``,
``app_metadata`` and ``profile`` (the rest of the user); a tombstone has ``deleted_at`` and ``expires_at`` (TTL) and
no profile. If the last change was not a whole user, ``carried`` is ``pipeline.changes.Carried`` as JSON text. The sink
merges such a change with the item that it read, and puts it only if the item is still the same.

Values that DynamoDB cannot hold, or boto3 cannot read back, become strings of their JSON text: a number of more than 38
digits when written out, or below 1E-128, an object with an empty key, and values nested deeper than DynamoDB allows.
An item over 400 KB loses ``profile``, then ``app_metadata``, then ``user_metadata`` until it fits; ``omitted`` names
what is missing.
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Context, Decimal, DecimalException, Inexact, Overflow, Subnormal
from functools import partial
from typing import Any, Protocol

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Raw

from pipeline import errors
from pipeline.changes import Carried, Change, HistoryEntry, Known, Outcome, Tombstone, merge
from pipeline.events import decode_deep
from pipeline.sinks import NOT_OURS, Sink

THREADS = 16
TOMBSTONE_DAYS = 90
"""Time from its writing for which a tombstone guards against a late update: longer than any event can still arrive
(queues hold 14 days)."""

MAX_ITEM_BYTES = 400 * 1024
_MAX_DEPTH = 31  # levels of maps and lists, the attribute's own included: of the 32 allowed, a scalar takes one too
_OMISSIBLE = ("profile", "app_metadata", "user_metadata")

MERGES = 10
"""Attempts to merge a change while other writers change the item."""

# 38 digits, 1E-128 to 9.99E+37: traps every number that DynamoDB would refuse or round. DynamoDB takes up to 9.99E+125,
# but returns it with all zeros, which boto3 counts as digits: it then fails to read the whole item.
_NUMBERS = Context(prec=38, Emin=-128, Emax=37, traps=[Inexact, Overflow, Subnormal])


def read_number(text: str) -> Decimal | str:
    """Parse a number that is not a plain integer; return its text if no ``Decimal`` has such an exponent."""
    try:
        return Decimal(text)
    except DecimalException:
        return text


_json = msgspec.json.Decoder(dict[str, Any], float_hook=read_number)
_text = msgspec.json.Encoder(decimal_format="number")
_carried = msgspec.json.Decoder(Carried)
_sorted = msgspec.json.Encoder(order="sorted")  # so that the texts of equal values are equal

_ORDER = ("user_id", "version", "updated_at", "source", "event_id")
_METADATA = ("user_metadata", "app_metadata")

_THROTTLED = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "InternalServerError",
    "ServiceUnavailable",
    "TransactionInProgressException",
    "LimitExceededException",
}
_NOT_READY = {"ResourceNotFoundException", "AccessDeniedException", "UnrecognizedClientException"}

Attribute = dict[str, Any]
"""A value in DynamoDB's own JSON, such as ``{"S": "x"}``."""

_OMITTED: Attribute = {}
"""Placeholder for metadata that were too large for the item."""


def attribute(value: Any, depth: int = 1) -> Attribute:
    """Return a JSON value (floats as ``Decimal``) as DynamoDB stores it; ``depth`` is its level in the item."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | Decimal():
            try:
                return {"N": str(_NUMBERS.create_decimal(value)) if value else "0"}
            except DecimalException:
                return {"S": str(value)}
        case dict() | list() if depth > _MAX_DEPTH or (isinstance(value, dict) and "" in value):
            return {"S": _text.encode(value).decode()}
        case dict():
            return {"M": {key: attribute(item, depth + 1) for key, item in value.items()}}
        case _:
            return {"L": [attribute(item, depth + 1) for item in value]}


def size(value: Attribute) -> int:
    """Return the bytes of an attribute's value as DynamoDB counts them, rounded up where its rule is vague.

    Source: DynamoDB Developer Guide, "DynamoDB item sizes and formats".
    """
    [(kind, content)] = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return len(content) // 2 + 2
        case "M":
            return 3 + sum(1 + len(key.encode()) + size(item) for key, item in content.items())
        case "L":
            return 3 + sum(1 + size(item) for item in content)
        case _:
            return 1


def sizes(item: Mapping[str, Attribute]) -> dict[str, int]:
    """Return the bytes of each attribute of an item, with its name; see ``size``."""
    return {name: len(name) + size(value) for name, value in item.items()}


def item(change: Change) -> dict[str, Attribute]:
    """Return the item for a change. Raises ``Refused`` if the profile is unreadable."""
    shared = _order(change)
    if isinstance(change, Tombstone):
        return shared | {"deleted_at": {"S": change.deleted_at}}
    try:
        profile = _decoded(change.profile)
        metadata = {name: profile.pop(name, None) for name in _METADATA}
        documents = {name: attribute({} if value is None else value) for name, value in metadata.items()}
        return _fitting(shared | documents | {"profile": attribute(profile)})
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.Refused(f"{type(error).__name__} in the profile") from None


def _decoded(profile: Raw) -> dict[str, Any]:
    """Read a profile, with values that are too deep for the reader as text."""
    return decode_deep(_json, bytes(profile))


def _order(change: Change) -> dict[str, Attribute]:
    return {name: {"S": getattr(change, name)} for name in _ORDER}


def _fitting(whole: dict[str, Attribute], missing: Collection[str] = ()) -> dict[str, Attribute]:
    """Return ``whole``, or the part that fits, with the names of the keys left out now or before (``missing``)."""
    parts = sizes(whole)
    total = sum(parts.values()) + 100  # leave some room: the size is an estimate, and DynamoDB checks the limit itself
    omitted: list[str] = []
    for name in _OMISSIBLE:
        if name in missing or (total > MAX_ITEM_BYTES and name in parts):
            omitted.append(name)
            total -= parts.get(name, 0)
    if not omitted:
        return whole
    return {name: value for name, value in whole.items() if name not in omitted} | {"omitted": attribute(omitted)}


def _known(change: Change) -> Known[Attribute]:
    """Return what a change carries of its user, by key. Raises ``Refused`` if the profile is unreadable."""
    if isinstance(change, Tombstone):
        return Known(change.version, None, {})
    try:
        profile = _decoded(change.profile)
        empty = (name for name in _METADATA if profile.get(name, ... if change.carried else None) is None)
        return Known(change.version, change.carried, _attributes(profile | {name: {} for name in empty}))
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.Refused(f"{type(error).__name__} in the profile") from None


def _attributes(profile: Mapping[str, Any]) -> dict[str, Attribute]:
    """Return the keys of a user at their level in an item: metadata beside ``profile``, the rest in it.

    Where ``profile`` will be text, its values are left as they are.
    """
    inner = _unread if "" in profile else partial(attribute, depth=2)
    return {key: attribute(value) if key in _METADATA else inner(value) for key, value in profile.items()}


def _unread(value: Any) -> Attribute:
    return {"JSON": value}


def _stored(item: Mapping[str, Attribute]) -> Known[Attribute]:
    """Return what an item holds of its user, by key. Raises ``Refused`` for an item that no sink wrote."""
    version, carried = _parts(item)
    if "carried" not in item and "deleted_at" in item:
        return Known(version, None, {})
    stored = item.get("profile", {"M": {}})
    try:
        profile = dict(stored["M"]) if "M" in stored else _attributes(_decoded(Raw(stored["S"].encode())))
        profile |= {name: item[name] for name in _METADATA if name in item}
        profile |= {name: _OMITTED for name in _omitted(item) if name in _METADATA}
    except (KeyError, msgspec.MsgspecError):
        raise errors.Refused(NOT_OURS) from None
    return Known(version, carried, profile)


def _parts(item: Mapping[str, Attribute]) -> tuple[str, Carried | None]:
    """Return the version of an item, and those of its parts. Raises ``Refused`` for an item that no sink wrote."""
    try:
        return item["version"]["S"], _carried.decode(item["carried"]["S"]) if "carried" in item else None
    except (KeyError, msgspec.MsgspecError):
        raise errors.Refused(NOT_OURS) from None


def _omitted(item: Mapping[str, Attribute]) -> set[str]:
    return {name["S"] for name in item.get("omitted", {"L": []})["L"]}


def _item_of(known: Known[Attribute], order: Mapping[str, Attribute], missing: Collection[str]) -> dict[str, Attribute]:
    """Return the item for several changes; ``order`` is the newest one's, ``missing`` names the keys left out."""
    profile = dict(known.profile)
    carried = known.carried or Carried()
    # An item always has metadata. Unknown ones were empty in the newest whole user.
    never = {name: carried.whole for name in _METADATA if name not in profile}
    metadata = {name: profile.pop(name, {"M": {}}) for name in _METADATA}
    missing = {name for name in missing if name not in _METADATA}
    missing |= {name for name, value in metadata.items() if value is _OMITTED}
    if "" in profile:
        from boto3.dynamodb.types import TypeDeserializer  # a tenth of a second of imports, needed by hardly any user

        deserialize: Any = TypeDeserializer().deserialize
        values = {key: value["JSON"] if "JSON" in value else deserialize(value) for key, value in profile.items()}
        document = attribute(values)
    else:
        inner = {key: attribute(value["JSON"], 2) if "JSON" in value else value for key, value in profile.items()}
        document = {"M": inner}
    documents = {name: value for name, value in {**metadata, "profile": document}.items() if name not in missing}
    parts = _sorted.encode(Carried.of(carried.whole, never | carried.versions)).decode()
    return _fitting({**order, **documents, "carried": {"S": parts}}, missing)


class Client(Protocol):
    """The part of boto3's client that the sink uses; ``PreparedRequests`` has it too."""

    @property
    def put_item(self) -> Any:
        """Put an item."""

    @property
    def get_item(self) -> Any:
        """Get an item."""


class DynamoDBSink(Sink):
    """Put items in parallel: DynamoDB has no conditional batch write."""

    def __init__(self, client: Client, table: str, threads: int = THREADS) -> None:
        self._client = client
        self._table = table
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dynamodb")

    def apply(
        self,
        changes: Sequence[Change],
        history: Sequence[HistoryEntry] = (),  # noqa: ARG002 - kept in Postgres only
    ) -> Outcome:
        """Apply changes; see ``Sink``. Raises the store's error if it took none of them."""
        outcome = Outcome()
        for change, result in zip(changes, self._pool.map(self._put, changes), strict=True):
            match result:
                case errors.Auth0SyncError():
                    outcome.failed[change.user_id] = result
                case "duplicate":
                    outcome.duplicate.add(change.user_id)
                case "stale":
                    outcome.stale.add(change.user_id)
        retries = [error for error in outcome.failed.values() if isinstance(error, errors.Retry)]
        if retries and len(retries) == len(changes):
            raise retries[0]
        return outcome

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _put(self, change: Change) -> errors.Auth0SyncError | str:
        try:
            return self._replace(change) if change.carried is None else self._merge(change)
        except errors.Refused as error:
            return error
        except ClientError as error:
            return _rejected(error)
        except BotoCoreError as error:
            return errors.StoreDown(type(error).__name__)

    def _replace(self, change: Change) -> errors.Auth0SyncError | str:
        """Put the item of a change that carries the whole user."""
        whole = item(change) | _written(change, datetime.now(UTC))
        condition = "attribute_not_exists(user_id) OR version < :version"
        stored = self._put_if(condition, {":version": {"S": change.version}}, whole)
        if stored is None:
            return "applied"
        version, carried = _parts(stored)
        if carried is not None and carried.oldest < change.version:
            return self._merge(change, stored)
        return "duplicate" if version == change.version else "stale"

    def _merge(self, change: Change, stored: Mapping[str, Attribute] | None = None) -> errors.Auth0SyncError | str:
        """Merge a change with the item, and put it if no other writer changed the item meanwhile; else try again."""
        said = _known(change)
        if stored is None:
            key = {"user_id": {"S": change.user_id}}
            answer: Any = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
            stored = answer.get("Item", {})
        for _ in range(MERGES):
            condition, expected = _still(stored)
            before = _stored(stored) if stored else None
            after = merge(before, said) if before else said
            if before and after.same_as(before):
                return "duplicate" if before.includes(change.version) else "stale"
            now = datetime.now(UTC)
            if after.carried is None:  # no stored part is newer
                merged = item(change) | _written(change, now)
            else:
                order = _order(change) if after.version == change.version else {name: stored[name] for name in _ORDER}
                merged = _item_of(after, order, _omitted(stored)) | _synced(now)
            stored = self._put_if(condition, expected, merged)
            if stored is None:
                return "applied"
        return errors.StoreBusy(f"other writers changed the item {MERGES} times in a row")

    def _put_if(
        self, condition: str, values: dict[str, Attribute], new: dict[str, Attribute]
    ) -> Mapping[str, Attribute] | None:
        """Put an item under a condition. If it fails, return the stored item, empty if there is none."""
        options: Any = {"ExpressionAttributeValues": values} if values else {}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=new,
                ConditionExpression=condition,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **options,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            response: Any = error.response
            found: dict[str, Attribute] = response.get("Item", {})
            return found
        return None


def _still(item: Mapping[str, Attribute]) -> tuple[str, dict[str, Attribute]]:
    """Return the condition that an item has not changed since it was read, and the condition's values."""
    if not item:
        return "attribute_not_exists(user_id)", {}
    if "carried" in item:
        values = {":version": item["version"], ":carried": item["carried"]}
        return "version = :version AND carried = :carried", values
    return "version = :version AND attribute_not_exists(carried)", {":version": item["version"]}


def _written(change: Change, now: datetime) -> dict[str, Attribute]:
    """Return the attributes about the writing of an item. A tombstone's time to live begins now, not at the deletion,
    which may be long past: an older update may arrive just as late.
    """
    if isinstance(change, Tombstone):
        expires_at = int(now.timestamp()) + TOMBSTONE_DAYS * 86_400
        return _synced(now) | {"expires_at": {"N": str(expires_at)}}
    return _synced(now)


def _synced(now: datetime) -> dict[str, Attribute]:
    return {"synced_at": {"S": now.isoformat(timespec="milliseconds")}}


def _rejected(error: ClientError) -> errors.Auth0SyncError:
    code = error.response["Error"]["Code"]
    if code in _THROTTLED:
        return errors.StoreBusy(code)
    if code in _NOT_READY:
        return errors.StoreNotReady(code)
    if code == "ValidationException":
        return errors.Refused(code)
    return errors.StoreDown(code)
