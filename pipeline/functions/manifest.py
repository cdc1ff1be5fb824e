"""The manifest function: every hour, list and sign the archive's objects of closed days without a manifest.

A run that ends early leaves a part of a day, which the next run continues. Commands ask it for records of erasures.
"""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any, Final
from uuid import uuid4

import msgspec
from botocore.exceptions import ClientError

from pipeline.archive import manifest
from pipeline.archive.manifest import Entry, Erasure, Link, Manifest
from pipeline.archive.objects import Bucket, Layout, Store, Version
from pipeline.archive.records import Request
from pipeline.archive.signed import ALGORITHM, KeyPair
from pipeline.errors import Auth0SyncError
from pipeline.functions import Context, aws_client
from pipeline.settings import Manifests
from pipeline.telemetry import emit, logger

THREADS: Final = 16
"""Objects that are read at the same time."""
CHUNK: Final = 4 * THREADS
"""Objects after which a run looks at the clock."""
PART: Final = 20_000
"""Objects of one manifest, which is in memory as a whole: 5 MB."""
RESERVE: Final = 120.0
"""Seconds kept at the end of the function's time for the objects under way, and for signing."""


Position = tuple[date, int]
"""Day and part of a manifest."""
Known = dict[date, set[tuple[str, str]]]
"""Keys and versions that the manifests list, by the day of the manifest."""


class BadRequest(Auth0SyncError):
    """The request for a record of an erasure is not in the form of pipeline.archive.records."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The services that a run calls."""

    s3: Any
    kms: Any


@cache
def clients() -> Clients:
    """Return the execution environment's one set of clients."""
    options: Any = {"attempts": 5, "connect": 5, "read": 30, "max_pool_connections": THREADS}
    return Clients(aws_client("s3", **options), aws_client("kms", **options))


def handler(event: dict[str, Any], context: Context) -> Any:
    """Write the missing manifests and return their keys, or write the record that the event asks for."""
    settings = Manifests.from_env()
    bucket = Bucket(clients().s3, settings.bucket)
    run = Run(settings, bucket, Signer(clients().kms, settings.key_arn), datetime.now(UTC))
    if "erasure" in event:
        return run.record(event["erasure"])
    until = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE
    try:
        return run.continue_chain(until)
    finally:
        count(run)
        logger.info("manifests written", extra={"written": run.written})


@dataclass(frozen=True, slots=True)
class Signer:
    """A key of KMS."""

    kms: Any
    key_arn: str

    def sign(self, digest: bytes) -> bytes:
        """Return the signature of a SHA-256 digest."""
        answer = self.kms.sign(KeyId=self.key_arn, Message=digest, MessageType="DIGEST", SigningAlgorithm=ALGORITHM)
        signature: bytes = answer["Signature"]
        return signature

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """Return whether the key made the signature."""
        request = {"KeyId": self.key_arn, "Message": digest, "MessageType": "DIGEST", "SigningAlgorithm": ALGORITHM}
        try:
            self.kms.verify(Signature=signature, **request)
        except ClientError as error:
            if error.response["Error"]["Code"] == "KMSInvalidSignatureException":
                return False
            raise
        return True


@dataclass
class Run:
    """One run. `written` has the digest of each manifest by its key: the log is a second witness of the chain."""

    settings: Manifests
    bucket: Store
    key: KeyPair
    now: datetime
    written: dict[str, str] = field(default_factory=dict)
    position: Position | None = None
    """The next manifest; None without any object."""

    @property
    def layout(self) -> Layout:
        """Return where the archive's objects are."""
        return Layout(self.settings.prefix, self.settings.error_prefix)

    def continue_chain(self, until: float) -> list[str]:
        """Write manifests up to the last closed day, as long as there is time; return their keys."""
        parents = self.layout.parents(self.bucket)
        previous, self.position, known = self._chain() or (None, self._beginning(parents), {})
        while self.position and self.position[0] <= manifest.last_closed(self.now) and time.monotonic() < until:
            day = self.position[0]
            entries, complete = self._entries(parents, day, known, until)
            if not (entries or complete):
                break
            written = self._write(self.position, entries, previous, complete=complete)
            if not written:
                logger.info("another run wrote this manifest", extra={"day": str(day)})
                break
            header, previous = written
            known.setdefault(day, set()).update((entry.key, entry.version) for entry in entries)
            self.position = header.next()
        return list(self.written)

    def _chain(self) -> tuple[Link, Position, Known] | None:
        """Return the last manifest, the position after it, and what the last ones list; None without any manifest."""
        keys: dict[str, Version] = {}
        for version in self.bucket.versions(manifest.MANIFESTS):
            if not version.deleted:
                keys[version.key] = version  # the oldest: nobody else can have written that
        if not keys:
            return None
        known: Known = {}
        for key, version in reversed(keys.items()):
            document = self.bucket.read(version)
            header, entries = manifest.read(document, key, self.key.verify, self.settings.key_arn)
            if not known:
                last, position = manifest.link(key, document), header.next()
            if header.day < position[0] - manifest.LATE:
                break
            known.setdefault(header.day, set()).update((entry.key, entry.version) for entry in entries)
        return last, position, known

    def _beginning(self, parents: Sequence[str]) -> Position | None:
        days, _ = self.layout.days(self.bucket, parents)
        return (days[0], 0) if days else None

    def _entries(self, parents: Sequence[str], day: date, known: Known, until: float) -> tuple[list[Entry], bool]:
        """Return entries of versions that no manifest lists, and whether these are all."""
        listed = set().union(*(known.get(earlier, ()) for earlier in manifest.covered(day)))
        new = (
            version
            for covered in manifest.covered(day)
            for parent in parents
            for version in self.bucket.versions(f"{parent}dt={covered}/")
            if not version.deleted and (version.key, version.id) not in listed
        )
        entries: list[Entry] = []
        with ThreadPoolExecutor(THREADS) as pool:
            while chunk := list(islice(new, CHUNK)):
                if time.monotonic() > until or len(entries) >= PART:
                    return entries, False
                entries += filter(None, pool.map(self._entry, chunk))
        return entries, True

    def _entry(self, version: Version) -> Entry | None:
        """Return the entry of a version, and lock it; None if it is gone, as after an erasure."""
        digest = self.bucket.digest(version)
        if digest is None:
            return None
        if (days := self.settings.lock_days) and (end := version.modified + timedelta(days)) > self.now:
            self.bucket.lock(version, end)
        return Entry(version.key, version.id, version.size, digest, version.modified)

    def _write(
        self, position: Position, entries: Sequence[Entry], previous: Link | None, *, complete: bool
    ) -> tuple[Manifest, Link] | None:
        day, part = position
        header = Manifest(
            deployment=self.settings.deployment,
            bucket=self.settings.bucket,
            day=day,
            part=part,
            complete=complete,
            listed_at=self.now,
            previous=previous,
            expire_after_days=self.settings.expire_after_days,
            objects=len(entries),
        )
        document = manifest.write(header, entries, self.key.sign, self.settings.key_arn)
        if not self._create(header.key, document):
            return None
        link = manifest.link(header.key, document)
        self.written[link.key] = link.sha256
        return header, link

    def record(self, asked: Any) -> str:
        """Write a record of an erasure, and return its key."""
        try:
            request = msgspec.convert(asked, Request)
        except msgspec.ValidationError as error:
            raise BadRequest(str(error)) from None
        if not all(one.key.startswith((self.settings.prefix, self.settings.error_prefix)) for one in request.objects):
            raise BadRequest("a key is not below the archive's prefixes")
        header = Erasure(
            deployment=self.settings.deployment,
            bucket=self.settings.bucket,
            recorded_at=self.now,
            reason=request.reason,
            reference=request.reference,
            objects=len(request.objects),
        )
        key = f"{manifest.ERASURES}{self.now:%Y-%m-%dT%H%M%SZ}-{uuid4().hex[:8]}.jsonl"
        document = manifest.write(header, request.objects, self.key.sign, self.settings.key_arn)
        self._create(key, document)
        logger.info("erasure recorded", extra={"key": key, "sha256": manifest.link(key, document).sha256})
        return key

    def _create(self, key: str, document: bytes) -> bool:
        days = self.settings.lock_days
        return self.bucket.create(key, document, self.now + timedelta(days) if days else None)


def count(run: Run) -> None:
    """Send the age of the chain: the time since the beginning of the first day without a complete manifest."""
    begins = datetime.combine(run.position[0], datetime.min.time(), UTC) if run.position else run.now
    emit(("function", "manifest"), {}, {"ManifestAge": max(0.0, (run.now - begins).total_seconds() * 1000)})


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    clients()  # load their library while the function starts: Lambda then gives it a whole CPU
