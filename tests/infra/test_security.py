"""docs/security.md: its periods, keys, settings and lists are those of Terraform and of the code.

tests/infra/test_permissions.py holds its rights, tests/infra/test_checkov.py its exemptions.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.functions import watch
from pipeline.sinks import iam
from pipeline.sinks.dynamodb import TOMBSTONE_DAYS
from tests.infra.deployed import MODULE, Json, Resource
from tests.infra.test_deployer import BEYOND, KEY
from tests.infra.test_permissions import ACCOUNT, PREFIX, SECURITY, Deployment, in_the_data_region, listed

PAGE = SECURITY.read_text("utf-8")
POLICIES = SECURITY.parents[1] / "infra/terraform/policies"
DAY = 86_400


@pytest.fixture(scope="module")
def deployment(state: Json) -> Deployment:
    return Deployment(state)


def table(head: str) -> list[list[str]]:
    """Return the rows of the table with this head."""
    _, _, rest = PAGE.partition(f"{head}\n")
    return [line.strip("| ").split(" | ") for line in rest.partition("\n\n")[0].splitlines()[1:]]


def only(values: set[int]) -> int:
    [value] = values
    return value


def queues(deployment: Deployment) -> int:
    return only({queue.values["message_retention_seconds"] for queue in deployment.all("aws_sqs_queue")}) // DAY


def lifecycle(deployment: Deployment) -> dict[str, tuple[list[int], list[int]]]:
    """Return the days of objects and of their old versions, by the id of the rule."""
    [rules] = [found.values["rule"] for found in deployment.all("aws_s3_bucket_lifecycle_configuration")]
    return {
        rule["id"]: (
            [one["days"] for one in rule["expiration"]],
            [one["noncurrent_days"] for one in rule["noncurrent_version_expiration"]],
        )
        for rule in rules
    }


def events(deployment: Deployment) -> str:
    targets = [target.values for target in deployment.all("aws_cloudwatch_event_target")]
    waiting = [target for target in targets if target["retry_policy"]]
    assert {target["arn"].split(":")[2] for target in targets if target not in waiting} == {"lambda"}  # schedules
    return f"up to {only({one['retry_policy'][0]['maximum_event_age_in_seconds'] for one in waiting}) // 3600} hours"


def archived(deployment: Deployment) -> str:
    found = lifecycle(deployment)
    assert [rule for rule, (days, _) in found.items() if days] == ["athena-results", "exports"]
    [old] = found["unfinished-uploads-and-old-versions"][1]
    return f"for ever (`archive.expire_after_days`); old versions {old} days"


def exports(deployment: Deployment) -> str:
    [days], old = lifecycle(deployment)["exports"]
    assert old == [1]
    return f"{days} days, and a day as old versions"


def results(deployment: Deployment) -> str:
    [days], old = lifecycle(deployment)["athena-results"]
    assert old == [1]
    return f"{days} days (`archive.results_expire_after_days`), and a day as old versions"


def logs(deployment: Deployment) -> str:
    days = only({group.values["retention_in_days"] for group in deployment.all("aws_cloudwatch_log_group")})
    return f"{days} days (`logs.retention_days`)"


def cluster(deployment: Deployment) -> str:
    [one] = deployment.all("aws_rds_cluster")
    return f"as long as they are in Auth0; {one.values['backup_retention_period']} days"


PERIODS: dict[str, Callable[[Deployment], str]] = {
    "events on a bus": events,
    "messages in queues": lambda found: f"{queues(found)} days (`queues.retention_seconds`)",
    "users in Aurora": cluster,
    "a deleted user's id": lambda _: f"Postgres: until you delete it; DynamoDB: {TOMBSTONE_DAYS} days",
    "every event in S3": archived,
    "with `backfill`: exports": exports,
    "results of Athena queries": results,
    "logs of functions": logs,
    "with `watch`: digests": lambda _: f"{watch.MEMORY} days beyond the window",
    "with `auth0.source_region`": lambda found: f"{queues(found)} days",
}
"""The second cell of each row of the table of stored data that names a number, by the beginning of the first cell."""


@pytest.mark.parametrize("row", PERIODS)
def test_documented_periods_are_those_of_the_deployment(row: str, deployment: Deployment) -> None:
    [period] = [
        cells[1] for cells in table("| what is stored | for how long | encrypted by |") if cells[0].startswith(row)
    ]
    assert period == PERIODS[row](deployment)


def test_every_documented_period_with_a_number_is_compared() -> None:
    rows = table("| what is stored | for how long | encrypted by |")
    with_numbers = [
        cells[0] for cells in rows if re.search(r"\d", cells[1]) and not cells[0].startswith("users in DynamoDB")
    ]
    assert [row for row in with_numbers if not row.startswith(tuple(PERIODS))] == []  # DynamoDB keeps 35 days by itself


def test_the_deployments_key_is_not_used_where_the_page_names_another(deployment: Deployment) -> None:
    assert {bus.values["kms_key_identifier"] for bus in deployment.all("aws_cloudwatch_event_bus")} == {None}
    here = in_the_data_region(deployment.resources)
    elsewhere = [found for found in deployment.resources if found not in here]
    kinds = {
        found.type: found.values["kms_master_key_id"] for found in elsewhere if "kms_master_key_id" in found.values
    }
    assert kinds == {"aws_sqs_queue": None, "aws_sns_topic": None}
    assert {found.values["sqs_managed_sse_enabled"] for found in elsewhere if found.type == "aws_sqs_queue"} == {True}


WAYS = {
    "aws_egress_only_internet_gateway", "aws_eip", "aws_internet_gateway", "aws_lambda_function_url", "aws_lb",
    "aws_nat_gateway", "aws_route", "aws_vpc_peering_connection",
}  # fmt: skip


def test_network_has_no_way_in_or_out(deployment: Deployment) -> None:
    assert {found.type for found in deployment.resources} & WAYS == set()
    assert {subnet.values["map_public_ip_on_launch"] for subnet in deployment.all("aws_subnet")} == {False}
    assert {one.values["publicly_accessible"] for one in deployment.all("aws_rds_cluster_instance")} == {False}


def test_the_only_endpoint_lets_the_comparison_read_the_users_table(deployment: Deployment) -> None:
    [endpoint] = deployment.all("aws_vpc_endpoint")
    [statement] = json.loads(endpoint.values["policy"])["Statement"]
    function = deployment.functions()["reconcile"]
    on_dynamodb = {right for right in function.rights if right.action.startswith("dynamodb:")}
    assert set(statement["Action"]) == {right.action for right in on_dynamodb}
    assert set(statement["Resource"]) == {right.resource for right in on_dynamodb}
    assert statement["Condition"] == {"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/{function.name}"}}
    assert endpoint.values["vpc_endpoint_type"] == "Gateway"


def policies(deployment: Deployment) -> list[Resource]:
    kinds = ("aws_sqs_queue", "aws_sns_topic", "aws_s3_bucket_policy")
    return [found for kind in kinds for found in deployment.all(kind)]


def test_queues_bucket_and_topics_refuse_plain_http(deployment: Deployment) -> None:
    for found in policies(deployment):
        conditions = [
            one.get("Condition") for one in json.loads(found.values["policy"])["Statement"] if one["Effect"] == "Deny"
        ]
        assert {"Bool": {"aws:SecureTransport": "false"}} in conditions, found.address
        if found.type == "aws_s3_bucket_policy":
            assert {"NumericLessThan": {"s3:TlsVersion": "1.2"}} in conditions


def test_who_may_change_a_queues_policy_may_lift_it(deployment: Deployment) -> None:
    tls = {"Bool": {"aws:SecureTransport": "false"}}
    for queue in deployment.all("aws_sqs_queue"):
        statements = json.loads(queue.values["policy"])["Statement"]
        denied = [one for one in statements if one["Effect"] == "Deny" and one["Condition"] != tls]
        assert {action for one in denied for action in listed(one["Action"])} <= {"sqs:SendMessage"}, queue.address


def test_settings_are_those_of_the_module() -> None:
    """The page names values that protect less; the last two are the module's defaults."""
    module = (MODULE / "README.md").read_text("utf-8")
    found = {}
    for name, value in (
        cells[0].strip("`").split(" = ") for cells in table("| setting | without it | how that shows |")
    ):
        [default] = re.findall(rf"^\| `{re.escape(name)}` \| [^|]+ \| `(.*?)` \|", module, flags=re.M)
        found[name] = default == value
    assert found.pop("access.permissions_boundary_arn")
    assert found.pop("access.archive_eraser_arns")
    assert found
    assert not any(found.values())


def test_durations_in_the_text_are_those_of_the_code(deployment: Deployment) -> None:
    assert f"IAM tokens of {iam.LIFETIME // 60} minutes" in PAGE
    days = only(
        {one.values["performance_insights_retention_period"] for one in deployment.all("aws_rds_cluster_instance")}
    )
    assert f"for {days} days, encrypted by the" in PAGE
    keys = [key.values for key in deployment.all("aws_kms_key") if key.values["enable_key_rotation"]]
    assert only({key["deletion_window_in_days"] for key in keys}) == 30
    assert "after 30 days in which" in PAGE


def test_rights_on_a_key_of_ones_own_are_those_that_services_use_for_the_deployer() -> None:
    [sentence] = re.findall(r"principal that deploys needs (.*?)\non the key", PAGE, flags=re.S)
    documented = set(re.findall(r"`(kms:\w+)\*?`", sentence))
    used = {action for action, reason in BEYOND.items() if reason == KEY}
    assert documented - {"kms:DescribeKey"} == {re.sub(r"(From|To|WithoutPlaintext)$", "", action) for action in used}


def test_names_of_another_deployment_match_only_where_the_page_says(deployment: Deployment) -> None:
    assert "in the key's policy, the alarms' topic and the policies in `infra/terraform/policies`" in PAGE
    found = {
        re.sub(r"\[[^]]*\]", "", one.module)
        for one in deployment.resources
        if f"{PREFIX}-*" in json.dumps({name: value for name, value in one.values.items() if "policy" in name})
    }
    assert found == {"module.key", "module.observability"}
    exact = {
        path.stem
        for path in Path(POLICIES).glob("*.json")
        if not re.search(r"NAME-(\*|archive)", path.read_text("utf-8"))
    }
    assert exact == {"reconciler"}


def test_pseudonym_makes_the_one_request_that_the_page_names() -> None:
    code = (SECURITY.parents[1] / "pipeline/cli/pseudonym.py").read_text("utf-8")
    assert re.findall(r"client\.(\w+)\(", code) == ["get_function_configuration"]
    assert "it needs `lambda:GetFunctionConfiguration` and `kms:Decrypt`" in PAGE
