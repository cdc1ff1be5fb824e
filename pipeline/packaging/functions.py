"""Which functions there are, what each of them runs, and how large its package may be."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Budget:
    """The most megabytes (10^6 bytes) that a package for Lambda may have; a test holds it.

    A zip is uploaded at each deployment and unpacked at each cold start. Lambda takes 50 MB, unpacked 250 MB.
    """

    zipped: float
    unzipped: float


@dataclass(frozen=True, slots=True)
class Function:
    """What goes into a function's package.

    `handler` is the module that it starts in; what that imports, wherever in its file, is packaged as well, except
    `without`: modules that this function never gets to. `files` are patterns of what it reads or runs besides.
    `requirements` is a file of requirements/, and `services` are the AWS APIs that it calls, each of which is a
    description that botocore reads from a file.
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
        without=("pipeline.sinks.dynamodb",),
        files=POSTGRES,
        budget=Budget(zipped=6.0, unzipped=19.0),
    ),
    "sync-dynamodb": Function(
        handler="pipeline.functions.sync",
        requirements="dynamodb.txt",
        without=("pipeline.sinks.postgres",),
        services=("dynamodb",),
        budget=Budget(zipped=1.75, unzipped=6.5),
    ),
    "refresh": Function(
        handler="pipeline.functions.refresh",
        requirements="refresh.txt",
        services=("lambda", "secretsmanager", "sqs"),
        budget=Budget(zipped=1.75, unzipped=6.5),
    ),
    "migrate": Function(
        handler="pipeline.functions.migrate",
        requirements="migrate.txt",
        files=(*POSTGRES, "migrations/env.py", "migrations/*/*.py"),
        budget=Budget(zipped=10.0, unzipped=36.0),
    ),
    "roles": Function(
        handler="pipeline.functions.roles",
        requirements="roles.txt",
        files=("pipeline/roles/*.sql",),
        services=("rds-data",),
        budget=Budget(zipped=1.75, unzipped=6.5),
    ),
    "watch": Function(
        handler="pipeline.functions.watch",
        requirements="roles.txt",  # the same imports
        files=("pipeline/archive/queries/*.sql",),
        services=("athena", "dynamodb", "sns"),
        budget=Budget(zipped=1.75, unzipped=6.5),
    ),
}
