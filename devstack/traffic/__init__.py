"""Generate realistic traffic of an Auth0 tenant from a seed, with the final state that a sync must reach.

python -c "
from devstack.traffic import Traffic
traffic = Traffic(events=300, users=40, seed=7)
for event in traffic: print(event.kind, event.detail['log_id'])
print(len(traffic.expected.live), 'users are left,', len(traffic.expected.deleted), 'were deleted')"
"""

from devstack.traffic.envelope import DEFAULT_SOURCE, envelope, eventbridge, sqs_record
from devstack.traffic.events import Change, Event
from devstack.traffic.expected_state import ExpectedState
from devstack.traffic.generator import DEFAULT_START, Traffic, generate

__all__ = [
    "DEFAULT_SOURCE",
    "DEFAULT_START",
    "Change",
    "Event",
    "ExpectedState",
    "Traffic",
    "envelope",
    "eventbridge",
    "generate",
    "sqs_record",
]
