"""Check the archive: its delivery stream, the number of archived events, and Athena's queries.

The checks write nothing into the archive, which is for audits.
"""

from datetime import date, timedelta
from typing import Final

from pipeline.archive import athena
from pipeline.doctor import metrics
from pipeline.doctor.deployed import Deployed
from pipeline.doctor.findings import Finding, bad, ok, unknown
from pipeline.query import Result

COUNTED: Final = timedelta(hours=1)
"""Period of the count: short, so that the check passes soon after a repair."""

LATE: Final = timedelta(minutes=5)
"""Most delay of EventBridge's delivery and CloudWatch's metrics."""

COMPLETE: Final = 0.9
"""Share of the matched events that must reach the delivery stream: CloudWatch promises no complete counts."""


def delivery(deployed: Deployed) -> list[Finding]:
    """Check the delivery stream, and that it takes the events that its rules match."""
    name = deployed.outputs["firehose_name"]
    stream = deployed.client("firehose").describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
    status = f"{name} is {stream['DeliveryStreamStatus']}"
    title = "Delivery stream"
    active = stream["DeliveryStreamStatus"] == "ACTIVE"
    return [ok(title, status) if active else bad(title, status, "Firehose's console says why"), counted(deployed)]


def counted(deployed: Deployed) -> Finding:
    """Compare the events that the archive's rules matched with those that the delivery stream took.

    The stream may have taken more: resent events, and events too recent for the count of matches.
    """
    now = deployed.clock.now()
    start, end = now - COUNTED, now - LATE
    firehose = deployed.outputs["firehose_name"]
    matched, failed = (
        sum(metrics.of_archive_rules(deployed, metric, start, end).values())
        for metric in ("MatchedEvents", "FailedInvocations")
    )
    stream = {"DeliveryStreamName": firehose}
    taken = metrics.total(deployed, "AWS/Firehose", "IncomingRecords", stream, start, now)
    title = "Events to the archive"
    counts = f"of {matched:,} events that its rules matched in the last hour, {firehose} took {taken:,}"
    if failed or taken < COMPLETE * matched:
        counts += f" and EventBridge gave up {failed:,}" if failed else ""
        return bad(title, counts, "docs/runbook.md says what to do: undelivered-events")
    if not matched:
        return unknown(title, "none counted in the last hour; metrics are minutes late")
    return ok(title, counts)


def views(deployed: Deployed) -> list[Finding]:
    """Check that Athena takes a query of each view: its SQL, and the columns of its tables."""
    names = deployed.outputs["glue_views"]
    days = _days(deployed.clock.now().date())
    for view in names:
        # LIMIT 0 reads no data.
        _ask(deployed, f"SELECT * FROM {view} WHERE {days} LIMIT 0")  # noqa: S608 - our own names
    return [ok("Athena's views", f"{', '.join(names)} can be queried")]


def logs(deployed: Deployed) -> list[Finding]:
    """Check that Athena reads a line of the last two days, as JSON."""
    title = "Archived logs"
    found = _ask(
        deployed,
        "SELECT line, json_extract(line, '$.detail') AS parsed FROM lines "  # noqa: S608 - our own names
        f"WHERE {_days(deployed.clock.now().date())} LIMIT 1",
    ).dicts()
    if not found:
        return [unknown(title, "no data of today or yesterday yet; it comes minutes after Auth0's events")]
    if found[0]["parsed"] is None:
        return [
            bad(title, "Athena gives a line that is not an event", "docs/runbook.md#archive-errors says what to do")
        ]
    return [ok(title, "Athena reads them, each line a JSON document")]


def _ask(deployed: Deployed, sql: str) -> Result:
    database, workgroup = deployed.outputs["glue_database"], deployed.outputs["athena_workgroup"]
    return athena.query(deployed.client("athena"), sql, database=database, workgroup=workgroup)


def _days(today: date) -> str:
    return f"dt IN ('{today}', '{today - timedelta(days=1)}')"
