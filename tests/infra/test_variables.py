"""Validations of variables, evaluated by Terraform in their files alone, without a provider."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.deploy.deployment import VARIABLES
from pipeline.settings import URL
from pipeline.terraform import CONFIGURATION, Program, inherited_environment
from tests.infra.deployed import MODULE
from tests.infra.generate import attributes, blocks

SOURCE = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"
STAGING = "aws.partner/auth0.com/acme-staging-8b47abb4-0c52-4a5f-9a26-1a2b3c4d5e6f/auth0.logs"
BOTH = {
    "log_stream_source_name": SOURCE,
    "event_stream_source_name": STAGING.replace("auth0.logs", "auth0.events"),
}
"""Streams of two tenants."""
GIVEN = {
    "environment": "test",
    "auth0": {"log_stream_source_name": SOURCE},
    "database_url": "postgresql://writer@db.example.com/app",
    "package_dir": "packages",
}
DATABASE = {"host": "db.example.com", "name": "app", "resource_id": "cluster-ABCDEFGHIJKL1234"}
NETWORK = {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1", "subnet-2"]}
SUBNETS = {"subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"]}
REFRESH = {
    "auth0_domain": "acme.eu.auth0.com",
    "secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:auth0-AbCdEf",
}


class Variables:
    """The variables of a configuration, without its resources."""

    def __init__(self, directory: Path, *files: Path) -> None:
        for file in files:
            (directory / file.name).symlink_to(file)
        self._terraform = Program(directory, inherited_environment())

    def refuse(self, **values: Any) -> str:
        """Return what Terraform says against values, in one line; nothing if it takes them."""
        file = self._terraform.directory / "given.tfvars.json"
        file.write_text(json.dumps(values))
        return self.refuse_file(file)

    def refuse_file(self, file: Path) -> str:
        said = self._terraform.run("console", "-no-color", f"-var-file={file}", stdin="1\n").stderr
        return " ".join(said.replace("│", " ").split())


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Return Terraform with the form of a URL, and nothing else."""
    directory = tmp_path_factory.mktemp("urls")
    (directory / "postgres_url.tf").symlink_to(MODULE / "postgres_url.tf")
    return Program(directory, inherited_environment())


def evaluated(terraform: Program, expression: str) -> Any:
    """Return the value of an expression of Terraform."""
    done = terraform.run("console", stdin=f"jsonencode({expression})\n")
    assert done.returncode == 0, done.stderr
    return json.loads(json.loads(done.stdout))


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Variables:
    return Variables(tmp_path_factory.mktemp("module"), *(CONFIGURATION / name for name in VARIABLES))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Variables:
    return Variables(tmp_path_factory.mktemp("root"), CONFIGURATION / "aws.tf", CONFIGURATION / "variables.tf")


def test_valid_values_pass(module: Variables) -> None:
    assert module.refuse(**GIVEN) == ""
    aurora = {**GIVEN, "database_url": None, "aurora": {"client_security_groups": {"billing": "sg-1"}}}
    assert module.refuse(**aurora, network=NETWORK) == ""
    questions = {"mfa_weakened": {}, "accounts_under_attack": {"minimum": 20}, "admin_actions": {"admin": "auth0|erin"}}
    assert module.refuse(**GIVEN, refresh=REFRESH, vpc_config=SUBNETS, watch={"questions": questions}) == ""


AURORA: dict[str, Any] = {"database_url": None, "aurora": {}}
ONE_DATABASE = "Set exactly one of aurora"

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "Auth0_Sync"}, "name must be"),
    ({"environment": "pre-production"}, "environment must be"),
    ({"auth0": {"log_stream_source_name": "auth0.logs"}}, "auth0.log_stream_source_name must look like"),
    (
        {"auth0": {"log_stream_source_name": SOURCE, "event_stream_source_name": SOURCE}},
        "auth0.event_stream_source_name must look like",
    ),
    ({"auth0": {"log_stream_source_name": SOURCE, "source_region": "Frankfurt"}}, "auth0.source_region must be"),
    # Postgres
    ({"database_url": None}, ONE_DATABASE),
    ({"database": DATABASE}, ONE_DATABASE),
    (AURORA | {"aurora": {"engine_version": "15.4"}}, "aurora.engine_version must be"),
    (AURORA | {"aurora": {"database_name": "Auth0"}}, "aurora.database_name must be"),
    (AURORA | {"aurora": {"min_capacity": 0.7}}, "aurora.min_capacity must be"),
    (AURORA | {"aurora": {"seconds_until_auto_pause": 1}}, "aurora.seconds_until_auto_pause must be"),
    (AURORA | {"aurora": {"readers": 16}}, "aurora.readers must be"),
    (AURORA | {"aurora": {"client_security_groups": {"a": "b"}}}, "aurora.client_security_groups must be"),
    (AURORA | {"network": NETWORK | {"subnet_ids": ["subnet-1"]}}, "network.vpc_id and subnet_ids are for aurora"),
    (AURORA | {"network": {"subnet_ids": ["subnet-1"]}}, "network.vpc_id and subnet_ids are for aurora"),
    ({"network": NETWORK}, "network.vpc_id and subnet_ids are for aurora"),
    ({"network": {"cidr": "10.0.0.0/8"}}, "network.cidr must be"),
    (AURORA | {"vpc_config": SUBNETS}, "vpc_config is for a server of your own"),
    (AURORA | {"sync": {"timeout_seconds": 3}}, "With aurora, sync.timeout_seconds must be at least 60"),
    ({"database_url": None, "database": DATABASE | {"resource_id": "app"}}, "database.resource_id must be"),
    (
        {"database_url": None, "database": DATABASE | {"host": "p.proxy-c1.eu-central-1.rds.amazonaws.com"}},
        "database.host is an RDS Proxy",
    ),
    # What all functions share
    ({"encryption": {"key_arn": "arn:aws:kms:eu-central-1:123456789012:alias/own"}}, "encryption.key_arn must be"),
    ({"access": {"permissions_boundary_arn": "boundary"}}, "access.permissions_boundary_arn must be"),
    (
        {"access": {"operator_arns": ["arn:aws:sts::123456789012:assumed-role/operator/ada"]}},
        "access.operator_arns and access.archive_eraser_arns must be ARNs of IAM roles or users",
    ),
    ({"access": {"archive_eraser_arns": ["eraser"]}}, "access.archive_eraser_arns must be ARNs of IAM roles or users"),
    (
        {"access": {"operator_arns": ["arn:aws:iam::123456789012:role/*"]}},
        "access.operator_arns and access.archive_eraser_arns must name somebody",
    ),
    ({"alarms": {"topic_arn": "alarms"}}, "alarms.topic_arn must be"),
    ({"alarms": {"emails": ["nobody"]}}, "alarms.emails must be"),
    ({"alarms": {"silence_hours": 48}}, "alarms.silence_hours must be"),
    ({"alarms": {"lag_seconds": 1}}, "alarms.lag_seconds, queue_age_seconds and archive_age_seconds must be"),
    ({"alarms": {"runbook_url": "a b"}}, "alarms.runbook_url must be"),
    ({"lambda": {"runtime": "python"}}, "lambda.runtime must be"),
    ({"lambda": {"architecture": "arm"}}, "lambda.architecture must be"),
    ({"logs": {"level": "LOUD"}}, "logs.level must be"),
    ({"logs": {"retention_days": 2}}, "logs.retention_days must be"),
    # Sync
    ({"sync": {"clock_tolerance_seconds": 1}}, "sync.clock_tolerance_seconds must be"),
    ({"sync": {"batch_size": 0}}, "sync.batch_size must be"),
    ({"sync": {"batch_size": 100, "batch_window_seconds": 0}}, "sync.batch_window_seconds must be"),
    ({"sync": {"timeout_seconds": 0}}, "sync.timeout_seconds must be"),
    ({"sync": {"memory_mb": 64}}, "sync.memory_mb must be"),
    ({"sync": {"maximum_concurrency": 1}}, "sync.maximum_concurrency must be"),
    ({"sync": {"reserved_concurrency": 4}}, "sync.reserved_concurrency must not be below sync.maximum_concurrency"),
    ({"backfill": {"maximum_concurrency": 1}}, "backfill.maximum_concurrency must be"),
    ({"queues": {"max_receive_count": 0}}, "queues.max_receive_count must be"),
    ({"queues": {"visibility_timeout_seconds": 59}}, "queues.visibility_timeout_seconds must be"),
    (
        {"queues": {"visibility_timeout_seconds": 60}, "sync": {"timeout_seconds": 61}},
        "queues.visibility_timeout_seconds must be",
    ),
    ({"queues": {"retention_seconds": 1}}, "queues.retention_seconds must be"),
    ({"queues": {"max_message_bytes": 1}}, "queues.max_message_bytes must be"),
    # Refresh
    ({"refresh": REFRESH | {"auth0_domain": "https://acme.eu.auth0.com"}}, "refresh.auth0_domain must be"),
    ({"refresh": REFRESH | {"auth0_domain": "acme.attacker.example"}}, "refresh.auth0_domain must end in .auth0.com"),
    ({"refresh": REFRESH | {"auth0_domain": "acme.eu.auth0.com.attacker.example"}}, "must end in .auth0.com"),
    ({"refresh": REFRESH | {"auth0_domain": "acme-staging.eu.auth0.com"}}, "a domain of the tenant in the names"),
    ({"refresh": REFRESH | {"auth0_domain": "acm.eu.auth0.com"}}, "a domain of the tenant in the names"),
    ({"refresh": REFRESH, "auth0": {"log_stream_source_name": STAGING}}, "a domain of the tenant in the names"),
    ({"refresh": REFRESH, "auth0": BOTH}, "a domain of the tenant in the names"),
    ({"refresh": REFRESH | {"secret_arn": "auth0"}}, "refresh.secret_arn must be"),
    ({"refresh": REFRESH | {"kms_key_arn": "alias/auth0"}}, "refresh.kms_key_arn must be"),
    ({"refresh": REFRESH | {"rate": 0}}, "refresh.rate and refresh.max_age_seconds must be"),
    ({"refresh": REFRESH | {"timeout_seconds": 10}}, "refresh.timeout_seconds must be"),
    ({"refresh": REFRESH | {"batch_size": 50, "batch_window_seconds": 0}}, "refresh.batch_size must be"),
    ({"refresh": REFRESH | {"memory_mb": 64}}, "refresh.memory_mb must be"),
    ({"reconcile": {"schedule": "daily"}}, "reconcile.schedule must be"),
    ({"reconcile": {"lag_seconds": 1}}, "reconcile.lag_seconds must be"),
    ({"reconcile": {"memory_mb": 128}}, "reconcile.memory_mb must be"),
    # Archive
    ({"archive": {"prefix": "logs"}}, "archive.prefix must be"),
    ({"archive": {"error_prefix": "logs/errors/"}}, "archive.error_prefix must be"),
    ({"archive": {"buffering_size_mb": 0}}, "archive.buffering_size_mb must be"),
    ({"archive": {"buffering_seconds": 901}}, "archive.buffering_seconds must be"),
    ({"archive": {"expire_after_days": 30, "glacier_ir_after_days": 90}}, "archive.expire_after_days must be"),
    ({"archive": {"first_day": "2026-02-31"}}, "archive.first_day must be"),
    ({"archive": {"results_expire_after_days": 0}}, "archive.results_expire_after_days must be"),
    ({"archive": {"bytes_scanned_cutoff": 1}}, "archive.bytes_scanned_cutoff must be"),
    ({"archive": {"prefix": "manifests/logs/"}}, "must not be below manifests/"),
    ({"archive": {"lock_days": 30, "manifest": False}}, "archive.lock_days must be a whole number"),
    ({"archive": {"lock_days": 0.5}}, "archive.lock_days must be a whole number"),
    ({"archive": {"lock_days": 365, "expire_after_days": 30}}, "archive.lock_days must not be greater"),
    # Watch
    ({"watch": {"questions": {"mfa_removed": {}}}}, "that cannot be watched: mfa_removed. There are account"),
    ({"watch": {"questions": {"signups": {}}}}, "that cannot be watched: signups"),
    ({"watch": {"questions": {"admin_actions": {}}}}, "the parameters that it needs"),
    ({"watch": {"questions": {"mfa_weakened": {"since": "2026-01-01"}}}}, "since follows from window_days"),
    ({"watch": {"questions": {}}}, "watch.questions must name at least one"),
    ({"watch": {"questions": {"mfa_weakened": {}}, "schedule": "hourly"}}, "watch.schedule must be"),
    ({"watch": {"questions": {"mfa_weakened": {}}, "window_days": 1}}, "watch.window_days must be"),
    ({"watch": {"questions": {"mfa_weakened": {}}, "topic_arn": "security"}}, "watch.topic_arn must be"),
    ({"watch": {"questions": {"mfa_weakened": {}}, "emails": ["nobody"]}}, "watch.emails must be"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_wrong_value_is_refused_with_its_name(module: Variables, values: dict[str, Any], message: str) -> None:
    assert message in module.refuse(**GIVEN | values)


@pytest.mark.parametrize(
    ("domain", "tenant"),
    [
        ("acme.auth0.com", "acme-1a2b3c4d"),
        ("acme.eu.auth0.com", "acme-8b47abb4-0c52-4a5f-9a26-1a2b3c4d5e6f"),
        ("acme-prod.eu.auth0.com", "acme-prod-8b47abb4-0c52-4a5f-9a26-1a2b3c4d5e6f"),
        ("acme.eu.auth0.com", "acme.eu.auth0.com-8b47abb4-0c52-4a5f-9a26-1a2b3c4d5e6f"),
    ],
)
def test_domain_of_the_sources_tenant_is_valid(module: Variables, domain: str, tenant: str) -> None:
    source = {"log_stream_source_name": f"aws.partner/auth0.com/{tenant}/auth0.logs"}
    assert module.refuse(**GIVEN | {"auth0": source, "refresh": REFRESH | {"auth0_domain": domain}}) == ""


def test_trusted_domain_of_a_private_cloud_is_valid(module: Variables) -> None:
    domain = "acme.private.example"
    trusted = REFRESH | {"auth0_domain": domain, "trusted_domains": [domain]}
    assert module.refuse(**GIVEN | {"refresh": trusted}) == ""
    assert "must end in .auth0.com" in module.refuse(
        **GIVEN | {"refresh": trusted | {"trusted_domains": ["x." + domain]}}
    )


def test_a_secret_has_no_validation() -> None:
    """Terraform prints the value that a variable's own validation refuses, also of a sensitive one."""
    variables = blocks(MODULE / "variables.tf", "variable")
    secrets = {name for name, block in variables.items() if block.get("sensitive")}
    assert secrets == {"database_url", "migration_database_url", "reader_database_url"}
    assert not [name for name in secrets if variables[name].get("validation")]


def test_the_functions_and_terraform_take_the_same_urls(urls: Program) -> None:
    assert evaluated(urls, "local.postgres_url") == URL


def test_a_url_has_its_special_characters_encoded(urls: Program) -> None:
    """The module refuses the others: see its tests/variants.tftest.hcl."""
    passwords = ("s3cr%tPASSWORD", "pass@word", "pass#word", "pass/word", "1234/word", "pass?word")
    wrong = [
        *(f"postgresql://writer:{one}@db.example.com/app" for one in passwords),
        "mysql://migrator@db.example.com/app",
    ]
    right = [
        "postgresql://writer@db.example.com/app",
        "postgresql://writer:s3cr%25tPASSWORD@db.example.com:5433/app?sslmode=verify-full&sslrootcert=/etc/pki/ca.crt",
        "postgres://writer:a:b;c=d,e&f!@[2001:db8::1]:5432,db.example.com:5433/app",
    ]
    taken = f"[for url in jsondecode({json.dumps(json.dumps(wrong + right))}) : can(regex(local.postgres_url, url))]"
    assert evaluated(urls, taken) == [*(False for _ in wrong), *(True for _ in right)]


def test_every_validation_is_tried() -> None:
    tried = {message.partition(":")[0] for _, message in REFUSED}
    variables = blocks(MODULE / "variables.tf", "variable").values()
    said = [found["error_message"] for block in variables for found in block.get("validation", [])]
    assert said
    assert [message for message in said if not any(part in message for part in tried)] == []


def test_an_unknown_attribute_is_refused_with_its_name(root: Variables) -> None:
    """Terraform by itself drops an attribute that the type of an object does not have, without a word."""
    variables = blocks(MODULE / "variables.tf", "variable")
    objects = {name for name, block in variables.items() if attributes(block["type"])}
    assert {"auth0", "aurora", "sync"} < objects
    for name in objects:
        said = root.refuse(environment="test", **{"auth0": {}} | {name: {"misspelled": 1}})
        assert f"{name} has no misspelled. It has " in said


@pytest.mark.parametrize("file", sorted((CONFIGURATION / "environments").glob("*.tfvars")), ids=lambda file: file.stem)
def test_the_examples_name_attributes_that_there_are(root: Variables, file: Path, tmp_path: Path) -> None:
    """The test includes attributes that are commented out."""
    complete = tmp_path / "complete.tfvars"
    lines = file.read_text().splitlines()
    complete.write_text("\n".join(line.replace("# ", "", 1) if " = " in line else line for line in lines))
    assert "has no" not in root.refuse_file(complete)
