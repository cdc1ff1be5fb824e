"""Firehose's S3 destination: buffering, delimiters, compression, object names, and the full description.

AWS (Firehose Developer Guide, "Configure Amazon S3 object name format", "Understand custom prefixes for Amazon S3
objects", "Configure buffering hints"; API Reference, ExtendedS3DestinationConfiguration): records are collected until
SizeInMBs or IntervalInSeconds is reached, then written as one object, compressed, named
``<prefix><stream>-<version>-<yyyy-MM-dd-HH-mm-ss>-<uuid><extension>``. Times are those of the oldest record's arrival,
in CustomTimeZone. AppendDelimiterToRecord adds the delimiter after each record. GZIP gives the extension ``.gz`` unless
FileExtension says otherwise. A write that fails, as one that the bucket's policy denies, is tried again.
DescribeDeliveryStream returns all that was set.

MiniStack: one object per record, no delimiter, no compression, and a description without FileExtension,
CustomTimeZone and the backup destination.

AWS ("Monitor Amazon Data Firehose with CloudWatch metrics"): ``IncomingRecords`` of a DeliveryStreamName counts the
records that the stream took. MiniStack: sends no metrics.

Kept from MiniStack: transforming functions, metadata extraction, and record format conversion (which still writes one
object per record). Compression other than GZIP is refused when the stream is made.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import contextvars
import gzip
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from ministack.core import responses
from ministack.services import cloudwatch, firehose, s3

from devstack.emulator import patching
from devstack.emulator.patches import resource_policies

log = logging.getLogger("firehose")

RETRY_SECONDS = 2.0
COMPRESSIONS = ("UNCOMPRESSED", "GZIP")

Record = tuple[str, bytes]
Config = dict[str, Any]

_original: dict[str, Any] = {}


@dataclass
class _Buffer:
    """The buffered records of one destination of one stream, in the account and region of ``context``."""

    stream: dict[str, Any]
    destination: dict[str, Any]
    context: contextvars.Context
    records: list[Record] = field(default_factory=list)
    size: int = 0
    oldest: float = 0.0
    not_before: float = 0.0

    def due(self) -> float:
        """Return the time at which to write this buffer, by time.time()."""
        hints = self.destination["config"].get("BufferingHints") or {}
        if self.size >= hints.get("SizeInMBs", 5) * 1024 * 1024:
            return self.not_before
        return max(self.not_before, self.oldest + float(hints.get("IntervalInSeconds", 300)))


_changed = threading.Condition()
_buffers: dict[str, _Buffer] = {}


def apply() -> None:
    """Buffer the records that MiniStack would write at once, and write them in a thread."""
    patching.require(
        firehose, "_deliver_to_s3", "_apply_lambda_processors", "_evaluate_prefix", "_metadata_extraction_keys",
        "_DeliveryError", "_s3_bucket_from_arn", "_java_time", "_HANDLERS",
    )  # fmt: skip
    patching.require(s3, "_put_object")
    patching.require(cloudwatch, "record_metric")
    patching.require(responses, "error_response_json", "new_uuid")
    for name, new in (
        ("_deliver_records_to_s3", deliver_records_to_s3),
        ("_dest_description", destination_description),
        ("_validate_s3_destination_config", validate_s3_destination_config),
        ("_delete_delivery_stream", delete_delivery_stream),
    ):
        _original[name] = patching.replace(firehose, name, new)
    firehose._HANDLERS["DeleteDeliveryStream"] = delete_delivery_stream
    threading.Thread(target=_write_when_due, name="firehose-buffers", daemon=True).start()


def deliver_records_to_s3(stream: dict[str, Any], dest: dict[str, Any], records: list[Record]) -> None:
    """Put new records into the buffer of their destination, and count them."""
    dimensions = {"DeliveryStreamName": stream["name"]}
    cloudwatch.record_metric("AWS/Firehose", "IncomingRecords", len(records), "Count", dimensions)
    dest["records"].clear()  # MiniStack's own copy, which would only grow
    key = f"{stream['arn']}/{dest['id']}"
    with _changed:
        buffer = _buffers.get(key)
        if buffer is None:
            buffer = _buffers[key] = _Buffer(stream, dest, contextvars.copy_context())
        if not buffer.records:
            buffer.oldest = time.time()
        buffer.records.extend(records)
        buffer.size += sum(len(data) for _, data in records)
        _changed.notify()


def delete_delivery_stream(data: dict[str, Any]) -> Any:
    """DeleteDeliveryStream, which first tries to write the buffered records."""
    stream = firehose._streams.get(data.get("DeliveryStreamName", ""))
    if stream is not None:
        for destination in stream["destinations"]:
            with _changed:
                buffer = _buffers.pop(f"{stream['arn']}/{destination['id']}", None)
            if buffer is not None:
                _write(buffer)
    return _original["_delete_delivery_stream"](data)


def destination_description(dest: dict[str, Any]) -> dict[str, Any]:
    """Describe a destination for DescribeDeliveryStream."""
    described: dict[str, Any] = _original["_dest_description"](dest)
    block = described.get("ExtendedS3DestinationDescription")
    if block is not None:
        config = dest["config"]
        block |= {name: config[name] for name in ("FileExtension", "CustomTimeZone") if name in config}
        backup = config.get("S3BackupUpdate") or config.get("S3BackupConfiguration")
        if backup:
            block["S3BackupDescription"] = {
                "BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 300},
                "CompressionFormat": "UNCOMPRESSED",
                "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
            } | backup
    return described


def validate_s3_destination_config(dtype: str, cfg: Config) -> Any:
    """Run MiniStack's checks, and refuse compressions that this module does not write."""
    compression = cfg.get("CompressionFormat", "UNCOMPRESSED")
    if dtype == "ExtendedS3" and compression not in COMPRESSIONS:
        message = f"This emulator writes {' or '.join(COMPRESSIONS)} objects, not {compression}."
        return responses.error_response_json("InvalidArgumentException", message, 400)
    return _original["_validate_s3_destination_config"](dtype, cfg)


def flush_all() -> None:
    """Write every buffer now."""
    with _changed:
        buffers = list(_buffers.values())
        _buffers.clear()
    for buffer in buffers:
        _write(buffer)


def _write_when_due() -> None:
    while True:
        with _changed:
            due = [key for key, buffer in _buffers.items() if buffer.due() <= time.time()]
            if not due:
                next_due = min((buffer.due() for buffer in _buffers.values()), default=None)
                _changed.wait(None if next_due is None else max(next_due - time.time(), 0.01))
            taken = [(key, _buffers.pop(key)) for key in due]
        for key, buffer in taken:
            if not _write(buffer):
                _take_back(key, buffer)


def _take_back(key: str, buffer: _Buffer) -> None:
    with _changed:
        newer = _buffers.get(key)
        if newer is not None:
            buffer.records += newer.records
            buffer.size += newer.size
        buffer.not_before = time.time() + RETRY_SECONDS
        _buffers[key] = buffer


def _write(buffer: _Buffer) -> bool:
    """Write a buffer's objects and return whether all were written; delivery is at least once, as in Firehose."""
    try:
        return buffer.context.copy().run(_write_objects, buffer)
    except Exception:
        # An exception that ends this thread would stop every stream.
        log.exception("Firehose %s: delivery failed", buffer.stream["name"])
        return False


def _write_objects(buffer: _Buffer) -> bool:
    config = buffer.destination["config"]
    arrival = datetime.fromtimestamp(buffer.oldest, ZoneInfo(config.get("CustomTimeZone") or "UTC")).timetuple()
    lambda_keys: dict[str, dict[str, str]] = {}
    records = firehose._apply_lambda_processors(
        buffer.stream, buffer.destination, buffer.records, partition_sink=lambda_keys
    )
    if (config.get("DataFormatConversionConfiguration") or {}).get("Enabled"):
        for record_id, data in records:
            firehose._deliver_to_s3(buffer.stream, buffer.destination, data, lambda_keys.get(record_id))
        return True
    bucket = firehose._s3_bucket_from_arn(config["BucketARN"])
    stamp = firehose._java_time("yyyy-MM-dd-HH-mm-ss", arrival)
    for prefix, group in _by_prefix(buffer, records, lambda_keys, arrival):
        name = f"{buffer.stream['name']}-{buffer.stream['version']}-{stamp}-{responses.new_uuid()}"
        key = f"{prefix}{name}{_extension(config)}"
        if resource_policies.role_denied("s3", config["RoleARN"], "s3:PutObject", f"{config['BucketARN']}/{key}"):
            log.warning("Firehose %s: the bucket's policy denies s3://%s/%s", buffer.stream["name"], bucket, key)
            return False
        status, _, answer = s3._put_object(
            bucket, key, _body(config, group), {"content-type": "application/octet-stream"}
        )
        if status >= 300:
            log.warning("Firehose %s: s3://%s/%s refused: %s", buffer.stream["name"], bucket, key, answer)
            return False
    return True


def _by_prefix(
    buffer: _Buffer, records: list[Record], lambda_keys: dict[str, dict[str, str]], arrival: time.struct_time
) -> Iterator[tuple[str, list[bytes]]]:
    """Group records by their evaluated prefix; one without a partition key gets the error prefix."""
    config = buffer.destination["config"]
    dynamic = (config.get("DynamicPartitioningConfiguration") or {}).get("Enabled")
    groups: dict[tuple[tuple[str, str], ...], list[bytes]] = {}
    prefixes: dict[tuple[tuple[str, str], ...], str] = {}
    for record_id, data in records:
        try:
            query_keys = (firehose._metadata_extraction_keys(config, data) or {}) if dynamic else {}
            other_keys = lambda_keys.get(record_id) or {}
            group = tuple(sorted({**query_keys, **other_keys}.items()))
            if group not in prefixes:
                prefixes[group] = firehose._evaluate_prefix(config.get("Prefix", ""), arrival, query_keys, other_keys)
        except firehose._DeliveryError:
            # MiniStack's own path meets the same error and writes the record below the error prefix.
            firehose._deliver_to_s3(buffer.stream, buffer.destination, data, lambda_keys.get(record_id))
            continue
        groups.setdefault(group, []).append(data)
    for group, members in groups.items():
        yield prefixes[group], members


def _body(config: Config, records: list[bytes]) -> bytes:
    delimiter = _delimiter(config)
    body = b"".join(record + delimiter for record in records)
    return gzip.compress(body) if config.get("CompressionFormat") == "GZIP" else body


def _delimiter(config: Config) -> bytes:
    processing = config.get("ProcessingConfiguration") or {}
    for processor in (processing.get("Processors") or []) if processing.get("Enabled") else []:
        if processor.get("Type") == "AppendDelimiterToRecord":
            for parameter in processor.get("Parameters") or []:
                if parameter.get("ParameterName") == "Delimiter":
                    # The API takes a newline as the two characters \n.
                    return str(parameter["ParameterValue"]).encode().decode("unicode_escape").encode()
            return b"\n"
    return b""


def _extension(config: Config) -> str:
    return config.get("FileExtension") or (".gz" if config.get("CompressionFormat") == "GZIP" else "")
