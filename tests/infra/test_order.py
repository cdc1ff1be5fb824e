"""The order of a deployment, by Terraform's graph: nothing starts before the policies and rights that it needs exist.

Events flow as soon as a rule has a target, batches as soon as a queue has a function, and EventBridge does not retry a
delivery that a policy refuses. The needs follow from kinds of resources and from their references.
"""

from collections.abc import Iterator

import pytest

from tests.infra.deployed import Json, Resource, State

STARTS = ("aws_cloudwatch_event_target", "aws_lambda_event_source_mapping", "aws_lambda_invocation")
"""Kinds of resources that make events, batches or requests flow."""

COMPLETES = {
    "aws_cloudwatch_event_bus_policy": ("aws_cloudwatch_event_bus", "event_bus_name"),
    "aws_iam_role_policy": ("aws_iam_role", "role"),
    "aws_iam_role_policy_attachment": ("aws_iam_role", "role"),
    "aws_kms_key_policy": ("aws_kms_key", "key_id"),
    "aws_lambda_permission": ("aws_lambda_function", "function_name"),
    "aws_rds_cluster_instance": ("aws_rds_cluster", "cluster_identifier"),
    "aws_s3_bucket_policy": ("aws_s3_bucket", "bucket"),
    "aws_s3_bucket_server_side_encryption_configuration": ("aws_s3_bucket", "bucket"),
    "aws_sqs_queue_policy": ("aws_sqs_queue", "queue_url"),
    "aws_vpc_security_group_egress_rule": ("aws_security_group", "security_group_id"),
    "aws_vpc_security_group_ingress_rule": ("aws_security_group", "security_group_id"),
}
"""Kinds of resources that complete another one: the kind of the other, and the argument that names it."""

POLICIES = {
    "aws_iam_role": {"aws_iam_role_policy", "aws_iam_role_policy_attachment"},
    "aws_kms_key": {"policy", "aws_kms_key_policy"},
    "aws_sqs_queue": {"policy", "aws_sqs_queue_policy"},
}
"""Kinds that are of no use without a policy, and its places: an argument of their own, or another resource."""

SLOW = ("aws_kinesis_firehose_delivery_stream", "aws_sqs_queue", "aws_lambda_function")
"""Kinds that take long enough to create for IAM to spread the policies that were written before."""


@pytest.fixture(scope="module")
def deployment(state: Json) -> State:
    return State(state)


def starting(deployment: State) -> list[Resource]:
    return [found for kind in STARTS for found in deployment.all(kind)]


def completing(deployment: State, owner: Resource) -> Iterator[Resource]:
    """Yield the resources that complete ``owner``."""
    for found in deployment.resources:
        kind, attribute = COMPLETES.get(found.type, ("", ""))
        if kind == owner.type and owner.block in found.ancestors:
            names = {owner.values.get(name) for name in ("id", "name", "arn", "cluster_identifier", "function_name")}
            if found.values[attribute] in names:
                yield found


def missing(deployment: State, start: Resource) -> Iterator[str]:
    """Yield the needs of ``start`` that it does not wait for."""
    for owner in deployment.resources:
        if owner.block not in start.ancestors:
            continue
        later = list(completing(deployment, owner))
        for found in later:
            if found.block not in start.ancestors:
                yield f"{start.address} does not wait for {found.address}"
        places = POLICIES.get(owner.type)
        if places and not any(owner.values.get(place) for place in places) and not places & {one.type for one in later}:
            yield f"{start.address} uses {owner.address}, which has no policy"
    if start.type == "aws_cloudwatch_event_target" and ":event-bus/" in start.values["arn"]:
        buses = [bus for bus in deployment.all("aws_cloudwatch_event_bus") if bus.values["arn"] == start.values["arn"]]
        if not [found for bus in buses for found in completing(deployment, bus)]:
            yield f"{start.address} goes to a bus without a policy"


def test_resources_wait_for_their_dependencies(deployment: State) -> None:
    starts = starting(deployment)
    assert {start.type for start in starts} == set(STARTS)
    assert [line for start in starts for line in missing(deployment, start)] == []


def test_iam_has_time_to_know_what_a_role_may_do(deployment: State) -> None:
    """Terraform creates something slow between a role's policies and the resource that acts as the role."""
    for start in starting(deployment):
        roles = [owner for owner in deployment.all("aws_iam_role") if owner.block in start.ancestors]
        for role in roles:
            policies = {found.block for found in completing(deployment, role)}
            between = [one for one in deployment.resources if one.type in SLOW and one.block in start.ancestors]
            assert any(policies <= one.ancestors for one in between), f"{start.address}: {role.address}"


# The check itself can fail.


def without(deployment: State, block: str, *lost: str) -> State:
    """Return the deployment with ``block`` no longer waiting for ``lost``."""
    changed = State({})
    changed.resources = [
        one._replace(ancestors=one.ancestors - set(lost)) if one.block == block else one for one in deployment.resources
    ]
    return changed


@pytest.mark.parametrize(
    ("start", "lost"),
    [
        ("module.archive.aws_cloudwatch_event_target.firehose", "module.archive.aws_iam_role_policy.events"),
        ("module.archive.aws_cloudwatch_event_target.firehose", "module.archive.aws_s3_bucket_policy.this"),
        ("module.relay.aws_cloudwatch_event_target.this", "module.relay.aws_cloudwatch_event_bus_policy.this"),
        ("module.relay.aws_cloudwatch_event_target.this", "module.relay.aws_iam_role_policy.this"),
        (
            "module.watch.module.function.aws_cloudwatch_event_target.schedule",
            "module.watch.module.function.aws_lambda_permission.schedule",
        ),
        ("aws_lambda_invocation.roles", "module.roles.aws_iam_role_policy.this"),
        ("aws_lambda_invocation.roles", "module.database.aws_rds_cluster_instance.this"),
        (
            "module.postgres_sink.aws_lambda_event_source_mapping.this",
            "module.database.aws_vpc_security_group_egress_rule.functions_to_database",
        ),
    ],
)
def test_missing_order_is_found(deployment: State, start: str, lost: str) -> None:
    changed = without(deployment, start, lost)
    found = [line for one in starting(changed) if one.block == start for line in missing(changed, one)]
    assert found
    assert all("does not wait for" in line for line in found)


@pytest.mark.parametrize("kind", ["aws_iam_role_policy", "aws_cloudwatch_event_bus_policy"])
def test_missing_policies_are_found(deployment: State, kind: str) -> None:
    changed = State({})
    changed.resources = [one for one in deployment.resources if one.type != kind]
    assert [line for start in starting(changed) for line in missing(changed, start)]


def test_a_queue_without_a_policy_is_found(deployment: State) -> None:
    changed = State({})
    changed.resources = [
        one._replace(values=one.values | {"policy": None}) if one.type == "aws_sqs_queue" else one
        for one in deployment.resources
    ]
    assert [line for start in starting(changed) for line in missing(changed, start)]
