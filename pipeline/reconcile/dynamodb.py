"""A parallel scan of the users table that hashes its users, and the items of single users."""

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from botocore import exceptions
from msgspec import Struct

from pipeline.reconcile.canonical import Item, text
from pipeline.reconcile.digests import Listing
from pipeline.sinks.dynamodb_requests import PreparedRequests

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SEGMENTS: Final = 16
"""Parts of the table that are read side by side."""
READ: Final = 100
"""Most items of one BatchGetItem."""

PAUSE: Final = 0.5
"""Seconds before another attempt if DynamoDB throttles; for a page twice as long before each further one."""
ATTEMPTS: Final = 6
"""Attempts to read a page, each with the client's own retries."""

_AGAIN: Final = (
    "InternalServerError",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
)

_VERSIONS: Final = "user_id, version, carried, deleted_at"


class Page(Struct):
    """A page of a scan."""

    items: list[Item] = msgspec.field(name="Items", default_factory=list)
    last: dict[str, Any] | None = msgspec.field(name="LastEvaluatedKey", default=None)


_page = msgspec.json.Decoder(Page)


class Scanner(Protocol):
    """The part of a client that the scan uses."""

    def scan(self, **request: Any) -> Any:
        """Return a page, as a ``Page`` or as boto3 does."""


class ScanRequests(PreparedRequests):
    """``scan`` of a boto3 client, at a tenth of its CPU time."""

    def scan(self, **request: Any) -> Any:
        """Return a page of a table as a ``Page``, or boto3's answer if the first attempt failed; see boto3."""
        answer = self._first_attempt("Scan", request, _page)
        return self._client().scan(**request) if answer is None else answer


class DynamoDBUsers:
    """The users table. ``scanner`` reads its pages: ``ScanRequests``, or boto3's client."""

    def __init__(
        self,
        client: "DynamoDBClient",
        scanner: Scanner,
        table: str,
        *,
        contents: bool,
        segments: int = SEGMENTS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._scanner, self._table = client, scanner, table
        self._contents, self._segments, self._sleep = contents, segments, sleep

    def listing(self, update: Callable[[int], None] = lambda _: None) -> Listing:
        """Scan the table, and return its live users; call ``update`` with the number of items so far."""
        found, lock, items = Listing(), threading.Lock(), 0

        def scan(segment: int) -> None:
            nonlocal items
            for page in self._pages(segment):
                with lock:  # threads would take turns at it, and lose a quarter of the time
                    for item in page:
                        if item.deleted_at is None:
                            found.add(item.id, text(item, contents=self._contents))
                    items += len(page)
                    update(items)

        with _uncollected(), ThreadPoolExecutor(self._segments) as pool:
            for _ in pool.map(scan, range(self._segments)):
                pass
        return found

    def _pages(self, segment: int) -> Iterator[list[Item]]:
        request: dict[str, Any] = {"TableName": self._table, "Segment": segment, "TotalSegments": self._segments}
        if not self._contents:
            request["ProjectionExpression"] = _VERSIONS
        while True:
            page = msgspec.convert(self._page(request), Page)
            yield page.items
            if not page.last:
                return
            request["ExclusiveStartKey"] = page.last

    def _page(self, request: dict[str, Any]) -> Any:
        """Read a page; the client's own retries are too few for a scan of minutes."""
        for attempt in range(ATTEMPTS - 1):
            try:
                return self._scanner.scan(**request)
            except exceptions.ClientError as error:
                if error.response["Error"]["Code"] not in _AGAIN:
                    raise
            except (exceptions.ConnectionError, exceptions.HTTPClientError):
                pass
            self._sleep(PAUSE * 2**attempt)
        return self._scanner.scan(**request)

    def read(self, user_ids: Sequence[str]) -> dict[str, Any]:
        """Return the items of users, tombstones included, by id, read consistently."""
        found: dict[str, Any] = {}
        for start in range(0, len(user_ids), READ):
            keys: Any = [{"user_id": {"S": user_id}} for user_id in user_ids[start : start + READ]]
            wanted: Any = {self._table: {"Keys": keys, "ConsistentRead": True}}
            while wanted:
                answer = self._client.batch_get_item(RequestItems=wanted)
                found |= {str(item["user_id"]["S"]): item for item in answer["Responses"].get(self._table, [])}
                if wanted := answer.get("UnprocessedKeys"):
                    self._sleep(PAUSE)
        return found


@contextmanager
def _uncollected() -> Iterator[None]:
    """Disable the garbage collector in the block: items have no cycles, and it takes a fifth of the time of a scan."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
