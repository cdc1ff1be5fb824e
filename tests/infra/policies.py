"""Parliament over every policy that Terraform renders and over infra/terraform/policies, as `make check` runs it.

``python -m tests.infra.policies .venv-checkov/bin/python``: Parliament is in Checkov's environment, because it needs an
old setuptools. It knows AWS's actions, their resources and their condition keys. What it finds and should not is exempt
below, one by one, with a reason; an exemption that nothing matches is a problem too.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.infra.deployed import Resource, State, everything, initialised
from tests.infra.deployer import POLICIES, Place

_PARLIAMENT = """
import json, sys, warnings
warnings.simplefilter("ignore")
from parliament import analyze_policy_string
found = []
for name, policy in json.load(sys.stdin).items():
    for finding in analyze_policy_string(policy, ignore_private_auditors=True).findings:
        found.append([name, finding.issue, json.dumps(finding.detail)])
json.dump(found, sys.stdout)
"""


class Finding(NamedTuple):
    """One finding of Parliament: the resource of the policy, the issue, and the particulars."""

    policy: str
    issue: str
    detail: str

    def __str__(self) -> str:
        return f"{self.policy}: {self.issue} {self.detail}"


class Exemption(NamedTuple):
    """A finding to ignore: part of the policy's address, the issue, part of the particulars, and the reason."""

    policy: str
    issue: str
    detail: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        return self.policy in finding.policy and self.issue == finding.issue and self.detail in finding.detail


EXEMPT = (
    Exemption(".aws_kms_key.", "RESOURCE_STAR", "kms:", 'In a key\'s own policy "*" is that key'),
    Exemption(
        ".aws_kms_key.",
        "MISMATCHED_TYPE",
        "ArnLike requires a value of type Arn but given String",
        "What logs and queues put into the encryption context is an ARN, which AWS's own examples compare so",
    ),
    Exemption(
        "module.archive.aws_iam_role_policy.firehose",
        "MISMATCHED_TYPE",
        "ArnLike requires a value of type Arn but given String",
        "What S3 puts into the encryption context is an ARN, which AWS's own examples compare so",
    ),
    Exemption(
        ".aws_iam_role_policy.this",
        "RESOURCE_STAR",
        "ec2:",
        "The network interfaces of a function in a VPC do not exist when Lambda is allowed to make them",
    ),
    Exemption(
        ".aws_iam_role_policy.this",
        "UNKNOWN_CONDITION_FOR_ACTION",
        "lambda:SourceFunctionArn",
        "Lambda's Developer Guide denies the function's code the network interfaces with this very key",
    ),
    Exemption(
        ".aws_s3_bucket_policy.",
        "MISMATCHED_TYPE",
        "s3:TlsVersion requires a value of type Numeric",
        'The S3 User Guide writes "1.2"; Parliament takes whole numbers only',
    ),
    Exemption(
        ".aws_s3_bucket_policy.",
        "UNKNOWN_CONDITION_FOR_ACTION",
        "s3:TlsVersion",
        "The statement denies s3:*, of which two actions never come to a bucket from outside",
    ),
    Exemption(
        ".aws_s3_bucket_policy.",
        "MISMATCHED_TYPE_BUT_USABLE",
        "StringNotEquals requires a value of type String but given Arn",
        "It must be this very key, so no pattern is wanted",
    ),
    Exemption(
        "boundary.json",
        "RESOURCE_STAR",
        "ec2:",
        "The network interfaces of a function in a VPC do not exist when Lambda is allowed to make them",
    ),
    Exemption(
        "deploy-apply-roles.json",
        "MISMATCHED_TYPE_BUT_USABLE",
        "Equals requires a value of type String but given Arn",
        "It must be this very boundary, so no pattern is wanted",
    ),
    Exemption(
        "deploy-apply-stores.json",
        "RESOURCE_POLICY_PRIVILEGE_ESCALATION",
        "s3:PutBucketPolicy",
        "Terraform sets the bucket's policy, so whoever deploys can change it",
    ),
    Exemption(
        "deploy-apply-stores.json",
        "RESOURCE_MISMATCH",
        "glue:DeleteDatabase",
        "The database has no functions of its users",
    ),
    Exemption(
        "deploy-apply-stores.json",
        "RESOURCE_MISMATCH",
        "kms:CreateAlias",
        "Two statements: the alias by its name, the key by its tag",
    ),
    Exemption(
        "deploy-",
        "RESOURCE_MISMATCH",
        "athena:",
        "Of Athena's kinds of resources the deployment has a workgroup only",
    ),
    Exemption(
        "deploy-apply.json",
        "RESOURCE_STAR",
        "lambda:DeleteEventSourceMapping",
        "A mapping has no name; its function is in the condition",
    ),
    Exemption(
        "deploy-plan.json",
        "RESOURCE_STAR",
        "cloudwatch:DescribeAlarms",
        "Terraform lists clusters and alarms, and looks for global clusters",
    ),
)


def documented() -> dict[str, str]:
    """Return the policies that docs/deploy.md has people attach, by file."""
    place = Place("123456789012", "auth0-sync-test")
    secret = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:auth0-AbCdEf"
    return {path.name: place.render(path.stem, auth0_secret=secret) for path in sorted(POLICIES.glob("*.json"))}


def rendered(state: State) -> dict[str, str]:
    """Return every policy by the address of its resource."""
    return {address: policy for found in state.resources for address, policy in _policies(found)}


def _policies(found: Resource) -> Iterator[tuple[str, str]]:
    """Yield a resource's policies, but for trust policies: Parliament wants a resource in each statement."""
    for argument, value in found.values.items():
        if (
            argument != "assume_role_policy"
            and isinstance(value, str)
            and value.startswith("{")
            and "Statement" in value
        ):
            yield found.address, value


def lint(python: str, policies: Mapping[str, str]) -> list[Finding]:
    """Ask Parliament, which is in the environment of ``python``."""
    done = subprocess.run(
        [python, "-c", _PARLIAMENT], input=json.dumps(policies), text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"Parliament failed:\n{done.stderr.strip()}")
    return sorted({Finding(*finding) for finding in json.loads(done.stdout)})


def problems(found: Iterable[Finding], exempt: Iterable[Exemption]) -> list[str]:
    """Return the findings without an exemption, and the exemptions without a finding."""
    found, exempt = list(found), list(exempt)
    lines = [str(finding) for finding in found if not any(one.covers(finding) for one in exempt)]
    unmet = [one for one in exempt if not any(one.covers(finding) for finding in found)]
    return lines + [
        f"{one.issue} on {one.policy} ({one.detail}): nothing is found; take the exemption away." for one in unmet
    ]


def main(python: str) -> int:
    """Print what is wrong; the exit code says whether anything is."""
    with tempfile.TemporaryDirectory() as directory:
        policies = rendered(State(everything(initialised(Path(directory))))) | documented()
    wrong = problems(lint(python, policies), EXEMPT)
    for line in wrong:
        _print(line)
    _print(f"Parliament: {len(policies)} policies, {len(EXEMPT)} exemptions, {len(wrong)} problems")
    return int(bool(wrong) or not policies)


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
