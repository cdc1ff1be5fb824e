"""The comparison of Parliament's findings with the exemptions. `make check` runs Parliament itself."""

from tests.infra import policies
from tests.infra.deployed import State
from tests.infra.policies import Exemption, Finding

FINDING = Finding("module.a.aws_sqs_queue.this", "UNKNOWN_ACTION", '"Unknown action sqs:Send"')
POLICY = '{"Version": "2012-10-17", "Statement": []}'
EXEMPTION = Exemption(".aws_sqs_queue.", "UNKNOWN_ACTION", "sqs:Send", "It is newer than Parliament")


def test_a_finding_is_a_problem_unless_it_is_exempt() -> None:
    assert policies.problems([FINDING], []) == [str(FINDING)]
    assert policies.problems([FINDING], [EXEMPTION]) == []


def test_an_exemption_covers_nothing_else() -> None:
    for other in (
        FINDING._replace(policy="module.a.aws_sns_topic.this"),
        FINDING._replace(issue="INVALID_ARN"),
        FINDING._replace(detail='"Unknown action sqs:Receive"'),
    ):
        assert policies.problems([FINDING, other], [EXEMPTION]) == [str(other)]


def test_an_exemption_that_nothing_needs_is_a_problem() -> None:
    [line] = policies.problems([], [EXEMPTION])
    assert "take the exemption away" in line


def test_every_exemption_says_why() -> None:
    assert all(len(one.reason.split()) > 4 for one in policies.EXEMPT)
    assert len({one[:3] for one in policies.EXEMPT}) == len(policies.EXEMPT)


def test_every_policy_is_looked_at() -> None:
    def resource(kind: str, **values: str | None) -> dict[str, object]:
        return {"mode": "managed", "type": kind, "name": "this", "values": values}

    state = State(
        {
            "resources": [
                resource("aws_sqs_queue", policy=POLICY),
                resource("aws_sns_topic", policy=None),
                resource("aws_sqs_queue_redrive_policy", redrive_policy='{"maxReceiveCount": 2}'),
            ],
            "child_modules": [{"address": "module.a", "resources": [resource("aws_iam_role_policy", policy=POLICY)]}],
        }
    )
    assert policies.rendered(state) == dict.fromkeys(
        (".aws_sqs_queue.this", "module.a.aws_iam_role_policy.this"), POLICY
    )
