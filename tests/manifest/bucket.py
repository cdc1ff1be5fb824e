"""A versioned bucket in memory, and a deployment's key."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from pipeline.archive import public_key
from pipeline.archive.chain import Keyring
from pipeline.archive.objects import Layout, Version
from pipeline.archive.signed import Sign, Verify
from pipeline.archive.verify import Report, verify
from pipeline.functions.manifest import Run
from pipeline.settings import Manifests

KEY_ARN = "arn:aws:kms:eu-central-1:123456789012:key/signs"
LAYOUT = Layout("logs/", "errors/")
SETTINGS = Manifests("auth0-sync-test", "archive", LAYOUT.prefix, LAYOUT.error_prefix, KEY_ARN, None, None)
START = datetime(2026, 11, 1, tzinfo=UTC)

_private = ec.generate_private_key(ec.SECP256R1())
PUBLIC_KEY = _private.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)
KEYRING = Keyring(KEY_ARN, public_key.load(PUBLIC_KEY))


class Key:
    """The key of the deployment."""

    @property
    def sign(self) -> Sign:
        return sign

    @property
    def verify(self) -> Verify:
        return KEYRING.verify


def sign(digest: bytes, key: ec.EllipticCurvePrivateKey = _private) -> bytes:
    return key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


@dataclass
class Stored:
    """A version or a delete marker."""

    id: str
    content: bytes
    modified: datetime
    deleted: bool = False
    locked_until: datetime | None = None


@dataclass
class Bucket:
    """A `Store` with a clock. Of a key, the newest version is the first."""

    now: datetime = START
    keys: dict[str, list[Stored]] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=count)

    def put(self, key: str, content: bytes, *, deleted: bool = False) -> None:
        self.keys.setdefault(key, []).insert(0, Stored(f"v{next(self.ids)}", content, self.now, deleted))

    def delete(self, key: str) -> None:
        """Delete as without a version: add a marker."""
        self.put(key, b"", deleted=True)

    def erase(self, key: str, version: str) -> None:
        """Delete one version for good."""
        self.keys[key] = [one for one in self.keys[key] if one.id != version]
        if not self.keys[key]:
            del self.keys[key]

    # As pipeline.archive.objects.Store

    def versions(self, prefix: str) -> Iterator[Version]:
        for key in sorted(self.keys):
            if key.startswith(prefix):
                for number, one in enumerate(self.keys[key]):
                    yield Version(key, one.id, len(one.content), one.modified, number == 0, one.deleted)

    def below(self, prefix: str) -> list[str]:
        rests = (key.removeprefix(prefix).partition("/") for key in self.keys if key.startswith(prefix))
        return sorted({prefix + name + slash for name, slash, _ in rests})

    def digest(self, version: Version) -> str | None:
        return sha256(self.read(version)).hexdigest()

    def read(self, version: Version) -> bytes:
        [found] = [one for one in self.keys[version.key] if one.id == version.id]
        return found.content

    def create(self, key: str, content: bytes, lock_until: datetime | None) -> bool:
        if key in self.keys and not self.keys[key][0].deleted:
            return False
        self.put(key, content)
        self.keys[key][0].locked_until = lock_until
        return True

    def lock(self, version: Version, until: datetime) -> None:
        [found] = [one for one in self.keys[version.key] if one.id == version.id]
        found.locked_until = until


def run(bucket: Bucket, settings: Manifests = SETTINGS, seconds: float = 60) -> list[str]:
    """Run the function at the bucket's time."""
    return Run(settings, bucket, Key(), bucket.now).continue_chain(time.monotonic() + seconds)


def check(bucket: Bucket, *, quick: bool = False) -> Report:
    return verify(bucket, LAYOUT, KEYRING, bucket.now, quick=quick)


def record(bucket: Bucket, *changes: tuple[str, bytes, bytes | None]) -> str:
    """Record erasures: key, content before, content after."""
    objects = [
        {
            "key": key,
            "before": sha256(before).hexdigest(),
            "after": None if after is None else sha256(after).hexdigest(),
        }
        for key, before, after in changes
    ]
    asked = {"reason": "erasure", "reference": "DSR-17", "objects": objects}
    return Run(SETTINGS, bucket, Key(), bucket.now).record(asked)


def with_expiry(days: int) -> Manifests:
    return replace(SETTINGS, expire_after_days=days)


def fill(bucket: Bucket, days: int, per_day: int = 2, settings: Manifests = SETTINGS) -> None:
    """Deliver objects day by day, and run the function every day an hour and a half after midnight."""
    for _ in range(days):
        day = bucket.now.date()
        for number in range(per_day):
            bucket.now += timedelta(hours=1)
            bucket.put(f"logs/dt={day}/hour={number:02}/{number}.json.gz", f"{day} {number}".encode())
        bucket.now = datetime.combine(day, datetime.min.time(), UTC) + timedelta(days=1, hours=1, minutes=30)
        run(bucket, settings)
