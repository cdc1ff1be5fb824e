"""The functions, the contents of their packages, and the size limits of these."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Budget:
    """The most megabytes (10^6 bytes) that a package for Lambda may have; a test checks them.

    Each deployment uploads the zip, and each cold start unpacks it. Lambda accepts 50 MB, unpacked 250 MB.
    """

    zipped: float
    unzipped: float


@dataclass(frozen=True, slots=True)
class Function:
    """The contents of a function's package.

    `handler` is the module of its handler; all modules that it imports, anywhere in the file, come along, except
    `without`: modules that this function never reaches. `files` are patterns of further files that it reads or runs.
    `requirements` is a file of requirements/, and `services` are the AWS APIs that it calls: botocore reads a
    description of each from a file.
    """

    handler: str
    requirements: str
    budget: Budget
    without: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


POSTGRES: Final = ("pipeline/sinks/*.sql", "pipeline/sinks/rds-ca-bundle.pem")

FUNCTIONS: Final = {
    "sync-postgres": Function(
        handler="pipeline.functions.sync",
        requirements="postgres.txt",
        without=("pipeline.sinks.dynamodb", "pipeline.sinks.dynamodb_requests"),
        files=POSTGRES,
        budget=Budget(zipped=5.25, unzipped=17.0),
    ),
    "sync-dynamodb": Function(
        handler="pipeline.functions.sync",
        requirements="dynamodb.txt",
        without=("pipeline.sinks.postgres",),
        services=("dynamodb",),
        budget=Budget(zipped=1.5, unzipped=6.0),
    ),
    "refresh": Function(
        handler="pipeline.functions.refresh",
        requirements="refresh.txt",
        services=("lambda", "secretsmanager", "sqs"),
        budget=Budget(zipped=1.4, unzipped=5.25),
    ),
    "backfill": Function(
        handler="pipeline.functions.backfill",
        requirements="roles.txt",  # the same imports
        services=("lambda", "s3"),
        budget=Budget(zipped=1.5, unzipped=5.25),
    ),
    "migrate": Function(
        handler="pipeline.functions.migrate",
        requirements="migrate.txt",
        # The module of views is for migrations of the user's own.
        files=(
            *POSTGRES,
            "pipeline/roles/*.sql",
            "pipeline/migration/views.py",
            "migrations/env.py",
            "migrations/*/*.py",
        ),
        budget=Budget(zipped=9.75, unzipped=35.0),
    ),
    "reconcile": Function(
        handler="pipeline.functions.reconcile",
        requirements="reconcile.txt",
        without=("pipeline.stores.aurora",),
        files=POSTGRES,
        services=("dynamodb",),
        budget=Budget(zipped=6.75, unzipped=22.5),
    ),
    "roles": Function(
        handler="pipeline.functions.roles",
        requirements="roles.txt",
        files=("pipeline/roles/*.sql",),
        services=("rds-data", "secretsmanager"),
        budget=Budget(zipped=1.25, unzipped=5.0),
    ),
    "watch": Function(
        handler="pipeline.functions.watch",
        requirements="roles.txt",  # the same imports
        files=("pipeline/archive/queries/*.sql",),
        services=("athena", "dynamodb", "sns"),
        budget=Budget(zipped=1.4, unzipped=5.25),
    ),
    "manifest": Function(
        handler="pipeline.functions.manifest",
        requirements="roles.txt",  # the same imports
        services=("kms", "s3"),
        budget=Budget(zipped=1.5, unzipped=5.25),
    ),
}
