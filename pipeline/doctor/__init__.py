"""Checks of a deployment that touch no user of Auth0. Each is a function that returns findings.

`CHECKS` lists them, and `runner.run` runs them.
"""

from typing import Final

from pipeline.doctor import alarms, archive, database, functions, queues, rules, sources, sync
from pipeline.doctor.deployed import SECONDS, Clock, Deployed
from pipeline.doctor.findings import Finding, Verdict
from pipeline.doctor.runner import Check, run

__all__ = ["CHECKS", "NOT_SEEN", "SECONDS", "Check", "Clock", "Deployed", "Finding", "Verdict", "run"]

CHECKS: Final = (
    Check("sources", "Auth0", sources.check),
    Check("rules", "Rules", rules.check),
    Check("functions", "Functions", functions.check),
    Check("sync", "Sync", sync.check, doing=sync.DOING),
    Check("database", "Database", database.check, suits=database.suits),
    Check("delivery", "Archive", archive.delivery),
    Check("views", "Athena's views", archive.views),
    Check("logs", "Archived logs", archive.logs, needs=("views",)),
    Check("dead-letter-queues", "Dead-letter queues", queues.check),
    Check("alarms", "Alarms", alarms.check),
)
"""Every check, in the order in which they run and are shown."""

NOT_SEEN: Final = (
    "Not seen by this test: whether Auth0 delivers. Change a user in Auth0's dashboard, then: auth0-sync user 'USER ID'"
)
"""The limit of all checks."""
