"""The modules that each function loads before its first batch: each module costs every cold start its compilation.

``make bench`` measures the time.
"""

import os
import subprocess
import sys

import pytest

from tests.unit.test_layout import ROOT

LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "EVENT_SOURCES": "x",
}
POSTGRES = {"SINK": "postgres", "PGHOST": "h", "PGDATABASE": "d", "PGUSER": "u", "AWS_REGION": "us-east-1"}
REFRESH = {"AUTH0_DOMAIN": "acme.eu.auth0.com", "AUTH0_CLIENT_SECRET_ARN": "a", "REFRESH_QUEUE_URL": "q"}
REFRESH |= {"SINK_QUEUE_URLS": "q"}
AUTH0 = ("api", "credentials", "deletions", "envelope", "errors", "fetcher", "session", "settings", "signals")
COMPARISON = ("canonical", "compare", "digests", "dynamodb", "look", "postgres")

READING = {"batch", "changes", "errors", "events", "log_types", "pseudonym", "senders", "settings", "telemetry"}
SYNC = READING | {"functions", "functions.sync", "signature", "sinks"}
WRITTEN = {"errors", "functions", "pseudonym", "settings", "telemetry"}
AWS = {"botocore", "dateutil", "jmespath", "six", "urllib3"}

FUNCTIONS: dict[str, tuple[dict[str, str], str, set[str], set[str]]] = {
    "sync-postgres": (
        POSTGRES,
        "import pipeline.functions.sync, pipeline.sinks.iam",
        SYNC | {"sinks.iam", "sinks.postgres"},
        {"msgspec", "psycopg", "psycopg_binary"},
    ),
    "sync-dynamodb": (
        {"SINK": "dynamodb", "USERS_TABLE": "users"},
        "import pipeline.functions.sync",
        SYNC | {"sinks.dynamodb", "sinks.dynamodb_requests"},
        {"botocore", "msgspec", "urllib3"},  # of botocore the errors
    ),
    "refresh": (
        REFRESH,
        "import pipeline.functions.refresh",
        READING
        | {"functions", "functions.refresh", "auth0", *(f"auth0.{name}" for name in AUTH0)}
        | {"delivery", "delivery.batching", "delivery.envelope", "delivery.errors", "delivery.function"}
        | {"delivery.queue"},
        AWS | {"msgspec"},
    ),
    "backfill": (
        {"ARCHIVE_BUCKET": "b", "SINK_FUNCTIONS": "postgres=f"},
        "import pipeline.functions.backfill; pipeline.functions.backfill.backfill()",
        {"auth0", "auth0.errors", "auth0.exports", "backfill", "backfill.load", "backfill.objects", "changes", "errors"}
        | {"events", "functions", "functions.backfill", "log_types", "pseudonym", "sinks", "telemetry"},
        AWS | {"msgspec"},
    ),
    "migrate": (
        {},
        "import pipeline.functions.migrate, pipeline.sinks.iam",
        WRITTEN
        | {"functions.migrate", "migration", "migration.files", "migration.plan"}
        | {"changes", "events", "log_types", "signature", "sinks", "sinks.iam", "sinks.postgres"},
        {"alembic", "mako", "markupsafe", "msgspec", "psycopg", "psycopg_binary", "sqlalchemy"},
    ),
    "reconcile": (
        {},
        "import pipeline.functions.reconcile, pipeline.sinks.iam",
        WRITTEN
        | {"functions.reconcile", "reconcile", *(f"reconcile.{name}" for name in COMPARISON)}
        | {"changes", "data_api", "events", "log_types", "progress", "query", "signature"}
        | {"delivery", "delivery.consumers", "delivery.envelope"}
        | {"sinks", "sinks.dynamodb", "sinks.dynamodb_requests", "sinks.iam", "sinks.postgres"}
        | {"stores", "stores.postgres", "stores.server"},
        AWS | {"msgspec", "psycopg", "psycopg_binary"},
    ),
    "roles": (
        {},
        "import pipeline.functions.roles",
        WRITTEN | {"data_api", "functions.roles", "query", "roles", "roles.password"},
        AWS | {"msgspec"},
    ),
    "watch": (
        {},
        "import pipeline.functions.watch",
        WRITTEN
        | {"functions.watch", "archive", "archive.athena", "archive.findings", "archive.literals"}
        | {"archive.questions", "foreign", "query"},
        AWS,
    ),
    "manifest": (
        {},
        "import pipeline.functions.manifest; pipeline.functions.manifest.clients()",
        WRITTEN
        | {"functions.manifest", "archive", "archive.manifest", "archive.objects", "archive.records"}
        | {"archive.signed"},
        AWS | {"msgspec"},
    ),
}
"""Function to its settings, its start, and the modules of ours and the packages of others that it loads."""

NOT_IN_PACKAGES = {"certifi", "cython_runtime", "pygments", "typing_extensions"}
"""Modules that libraries load where they are installed, as here; most packages hold none of them."""


def loaded(start: str, env: dict[str, str]) -> set[str]:
    code = f"import sys; before = set(sys.modules); {start}; print(*(sys.modules.keys() - before))"
    env = {"PATH": os.environ["PATH"]} | LAMBDA | env
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_loads_only_what_its_first_batch_uses(name: str) -> None:
    env, start, ours, others = FUNCTIONS[name]
    modules = loaded(start, env)
    assert {module.removeprefix("pipeline.") for module in modules if module.startswith("pipeline.")} == ours
    packages = {module.partition(".")[0] for module in modules if not module.startswith("_")}
    assert packages - sys.stdlib_module_names - NOT_IN_PACKAGES - {"pipeline"} == others
    if name == "sync-dynamodb":
        assert not modules & {"botocore.session", "botocore.client", "botocore.auth"}
