"""DynamoDB: one conditional put per user, last write wins by ``version``.

An item: ``user_id`` (key), ``version``, ``updated_at``, ``source``, ``event_id``, ``synced_at``, ``user_metadata``,
``app_metadata`` and ``profile`` (the rest of the user); a tombstone has ``deleted_at`` and ``expires_at`` (TTL) and
no profile.

What DynamoDB cannot hold as a value, or boto3 not read again, has one outcome each: a number of more than 38 digits
when it is written out, or below 1E-128, an object with an empty key, and what is nested deeper than it allows is
stored as a string of its JSON text; an item over 400 KB is stored without ``profile``, then without ``app_metadata``,
then without ``user_metadata`` until it fits, and ``omitted`` names what is missing.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Context, Decimal, DecimalException, Inexact, Overflow, Subnormal
from typing import TYPE_CHECKING, Any

import msgspec
from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import BotoCoreError, ClientError

from pipeline import errors
from pipeline.changes import Change, HistoryEntry, Outcome, Tombstone

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

THREADS = 16
TOMBSTONE_DAYS = 90
"""How long a tombstone guards against a late update, from when it was written: longer than any event can still arrive
(queues hold 14 days)."""

MAX_ITEM_BYTES = 400 * 1024
_MAX_DEPTH = 31  # levels of maps and lists, the attribute's own included: of the 32 allowed, a scalar takes one too
_OMISSIBLE = ("profile", "app_metadata", "user_metadata")

# 38 digits, 1E-128 to 9.99E+37: traps whatever DynamoDB would refuse or round. It would take up to 9.99E+125, but
# answers with all of the zeros, which boto3 counts as digits: it fails to read the whole item.
_NUMBERS = Context(prec=38, Emin=-128, Emax=37, traps=[Inexact, Overflow, Subnormal])


def _number(text: str) -> Decimal | str:
    """A number that is not a plain integer, or its text if no ``Decimal`` has such an exponent."""
    try:
        return Decimal(text)
    except DecimalException:
        return text


_json = msgspec.json.Decoder(dict[str, Any], float_hook=_number)
_text = msgspec.json.Encoder(decimal_format="number")

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


def attribute(value: Any, depth: int = 1) -> Attribute:
    """A JSON value (floats as ``Decimal``) as DynamoDB stores it; ``depth`` is the level it stands on."""
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
    """Bytes of an attribute's value as DynamoDB counts them, rounded up where its rule is vague.

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


def item(change: Change) -> dict[str, Attribute]:
    """The item for a change. Raises ``Refused`` where the profile cannot be read."""
    shared = {name: {"S": getattr(change, name)} for name in ("user_id", "version", "updated_at", "source", "event_id")}
    if isinstance(change, Tombstone):
        return shared | {"deleted_at": {"S": change.deleted_at}}
    try:
        profile = _json.decode(change.profile)
        metadata = {name: profile.pop(name, None) for name in ("user_metadata", "app_metadata")}
        documents = {name: attribute({} if value is None else value) for name, value in metadata.items()}
        return _fitting(shared | documents | {"profile": attribute(profile)})
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.Refused(f"{type(error).__name__} in the profile") from None


def _fitting(whole: dict[str, Attribute]) -> dict[str, Attribute]:
    """``whole``, or what of it fits into an item, with the names of what is missing."""
    sizes = {name: len(name) + size(value) for name, value in whole.items()}
    total = sum(sizes.values()) + 100  # the limit is the service's to draw; leave it some room
    omitted: list[str] = []
    for name in _OMISSIBLE:
        if total > MAX_ITEM_BYTES:
            omitted.append(name)
            total -= sizes[name]
    if not omitted:
        return whole
    return {name: value for name, value in whole.items() if name not in omitted} | {"omitted": attribute(omitted)}


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as plain JSON values: numbers as ``int`` where they are whole, else ``float``."""
    deserialize: Any = TypeDeserializer().deserialize
    return {name: _plain(deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value


class DynamoDBSink:
    """Puts in parallel: DynamoDB has no conditional batch write."""

    def __init__(self, client: "DynamoDBClient", table: str, threads: int = THREADS) -> None:
        self._client = client
        self._table = table
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dynamodb")

    def apply(
        self,
        changes: Sequence[Change],
        history: Sequence[HistoryEntry] = (),  # noqa: ARG002 - kept in Postgres only
        meanwhile: Callable[[], object] | None = None,  # noqa: ARG002 - the threads leave no time that is not used
    ) -> Outcome:
        """See ``pipeline.sinks.Sink``. Raises the error of the store if it took none of the changes."""
        outcome = Outcome()
        for change, result in zip(changes, self._pool.map(self._put, changes), strict=True):
            match result:
                case errors.SyncError():
                    outcome.failed[change.user_id] = result
                case "duplicate":
                    outcome.duplicate.add(change.user_id)
                case "stale":
                    outcome.stale.add(change.user_id)
        retries = [error for error in outcome.failed.values() if isinstance(error, errors.Retry)]
        if retries and len(retries) == len(changes):
            raise retries[0]
        return outcome

    def _put(self, change: Change) -> errors.SyncError | str:
        try:
            self._client.put_item(
                TableName=self._table,
                Item=item(change) | _written(change, datetime.now(UTC)),
                ConditionExpression="attribute_not_exists(user_id) OR version < :version",
                ExpressionAttributeValues={":version": {"S": change.version}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except errors.Refused as error:
            return error
        except ClientError as error:
            return _rejected(error, change)
        except BotoCoreError as error:
            return errors.StoreDown(type(error).__name__)
        return "applied"


def _written(change: Change, now: datetime) -> dict[str, Attribute]:
    """What an item says of its writing. A tombstone is kept from now on, not from the deletion, which may be long past
    when it arrives: an older update may follow it as late.
    """
    synced_at: dict[str, Attribute] = {"synced_at": {"S": now.isoformat(timespec="milliseconds")}}
    if isinstance(change, Tombstone):
        expires_at = int(now.timestamp()) + TOMBSTONE_DAYS * 86_400
        return synced_at | {"expires_at": {"N": str(expires_at)}}
    return synced_at


def _rejected(error: ClientError, change: Change) -> errors.SyncError | str:
    code = error.response["Error"]["Code"]
    if code == "ConditionalCheckFailedException":
        stored: Any = error.response.get("Item", {})
        return "duplicate" if stored.get("version") == {"S": change.version} else "stale"
    if code in _THROTTLED:
        return errors.StoreBusy(code)
    if code in _NOT_READY:
        return errors.StoreNotReady(code)
    if code == "ValidationException":
        return errors.Refused(code)
    return errors.StoreDown(code)
