"""Check the Aurora cluster's own settings."""

import time
from typing import Any

from pipeline.data_api import Transaction, retry_until
from pipeline.doctor.deployed import Deployed
from pipeline.doctor.findings import Finding, bad, ok


def suits(deployed: Deployed) -> bool:
    """Return whether the deployment has a cluster."""
    return deployed.cluster is not None


def check(deployed: Deployed) -> list[Finding]:
    """Check that the cluster refuses connections without TLS: the engine's default from version 17 on."""
    cluster = deployed.cluster
    if cluster is None:
        return []
    client = deployed.client("rds-data")

    def force_ssl() -> Any:
        with Transaction(client, cluster) as transaction:
            return transaction.execute("SELECT current_setting('rds.force_ssl', true)").rows[0][0]

    value = retry_until(force_ssl, time.monotonic() + deployed.seconds)
    title = "Connections without TLS are refused"
    if value in ("1", "on"):
        return [ok(title)]
    return [bad(title, f"rds.force_ssl is {value}", "Set it to 1 in the cluster's parameter group")]
