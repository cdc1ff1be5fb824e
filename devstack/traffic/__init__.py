"""Realistic traffic of an Auth0 tenant, made from a seed, with the final state that a sync of it must reach.

python -c "
from devstack.traffic import Traffic
traffic = Traffic(events=300, users=40, seed=7)
for event in traffic: print(event.kind, event.detail['log_id'])
print(len(traffic.oracle.live), 'users are left,', len(traffic.oracle.deleted), 'were deleted')"
"""

from devstack.traffic.events import Change, Event
from devstack.traffic.generator import DEFAULT_START, Traffic, generate
from devstack.traffic.oracle import Oracle
from devstack.traffic.wire import DEFAULT_SOURCE, envelope, eventbridge, sqs_record

__all__ = [
    "DEFAULT_SOURCE",
    "DEFAULT_START",
    "Change",
    "Event",
    "Oracle",
    "Traffic",
    "envelope",
    "eventbridge",
    "generate",
    "sqs_record",
]
