"""Check the dead-letter queues, which hold events and messages that the pipeline gave up."""

from pipeline.doctor.deployed import Deployed
from pipeline.doctor.findings import Finding, bad, ok

_HELD = "ApproximateNumberOfMessages"


def check(deployed: Deployed) -> list[Finding]:
    """Check that every dead-letter queue is empty, also in the region that forwards events."""
    sqs, outputs = deployed.client("sqs"), deployed.outputs
    queues = {f"failed: {name}": (sqs, url) for name, url in outputs["dlq_urls"].items()}
    queues |= {f"undelivered: {name}": (sqs, url) for name, url in outputs["target_dlq_urls"].items()}
    there = deployed.source_client("sqs")
    queues |= {f"not forwarded: {name}": (there, url) for name, url in outputs["relay_dlq_urls"].items()}
    held = {
        name: int(client.get_queue_attributes(QueueUrl=url, AttributeNames=[_HELD])["Attributes"][_HELD])
        for name, (client, url) in queues.items()
    }
    title = "Dead-letter queues"
    if full := [f"{name} holds {count}" for name, count in held.items() if count]:
        return [bad(title, "; ".join(full), "docs/runbook.md says how to look and what to do")]
    return [ok(title, f"all {len(queues)} are empty")]
