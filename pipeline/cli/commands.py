"""The names of the commands and their modules, which are imported when a command runs.

The modules import boto3 and psycopg, which takes too long for ``auth0-sync --help``.
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Final, NamedTuple

GROUP: Final = "auth0_sync.commands"
"""Group of entry points for other packages' commands: each is a function that calls `add` for its commands."""


class Command(NamedTuple):
    """The description of a command before it is loaded."""

    module: str
    """The module that adds the command to ``app`` when it is imported."""
    summary: str
    """The first paragraph of the command's docstring."""


prepare: Callable[[], None] | None = None
"""A function to call before the command runs, after the import of its module."""

COMMANDS: dict[str, Command] = {}
"""Commands by name, in the order of ``--help``."""


def add(name: str, module: str, summary: str) -> None:
    """Register a command."""
    COMMANDS[name] = Command(module, summary)


def add_installed() -> None:
    """Register the commands of other packages.

    A wheel of this project names the local stack's entry point but does not contain the local stack.
    """
    for entry in entry_points(group=GROUP):
        if find_spec(entry.module.partition(".")[0]):
            entry.load()()


add(
    "ask",
    "pipeline.cli.archive",
    "Ask the archive, by the name of a question or in SQL. Reads ATHENA_DATABASE and ATHENA_WORKGROUP.",
)
add(
    "init",
    "pipeline.cli.init",
    "Connect an Auth0 tenant to the AWS account: streams, credentials, and the file of variables that `deploy` takes.",
)
add(
    "streams",
    "pipeline.cli.streams",
    "Show, create, pause or start the Log Stream and the Event Stream in Auth0, or redeliver its failed events.",
)
add(
    "credentials",
    "pipeline.cli.init",
    "Check the credentials of an Auth0 application, and keep them in AWS Secrets Manager if you agree.",
)
add("tfvars", "pipeline.cli.init", "Write an environment's file of variables, by the streams that exist in Auth0.")
add("plan", "pipeline.cli.deploy", "Show what `deploy` would change in the AWS account, and change nothing.")
add(
    "deploy",
    "pipeline.cli.deploy",
    "Deploy to the AWS account of the environment's credentials, migrate, and run the smoke test.",
)
add(
    "migrate",
    "pipeline.cli.deploy",
    "Bring the schema of a deployment's Postgres to a revision, by its deployed migration function.",
)
add(
    "smoke",
    "pipeline.cli.deploy",
    "Test a deployment with a user that cannot exist in Auth0. Exit code 3 if something is wrong.",
)
add("outputs", "pipeline.cli.deploy", "Print Terraform's outputs of a deployment as JSON: names, addresses, ARNs.")
add(
    "destroy",
    "pipeline.cli.deploy",
    "Remove a deployment from the AWS account. Stores are kept, unless --with-data.",
)
add(
    "cost",
    "pipeline.cli.deploy",
    "Estimate what a deployment costs a month, at list prices of us-east-1; docs/cost.md has the assumptions.",
)
add(
    "env",
    "pipeline.cli.env",
    "Print the variables that point this command, the AWS CLI and psql at the embedded stack, or at a deployment.",
)
add("logs", "pipeline.cli.logs", "Print a function's log, a line each.")
add(
    "pseudonym",
    "pipeline.cli.pseudonym",
    "Print the name that a user has in the functions' logs, by the deployment's key.",
)
add(
    "failed",
    "pipeline.cli.failed",
    "List the messages that a function or EventBridge gave up, with the reason; put them back, or delete them.",
)
add(
    "package",
    "pipeline.cli.package",
    "Build the zip of each Lambda function; the same inputs give the same contents, and the same SHA-256 of them.",
)
add(
    "backfill",
    "pipeline.cli.backfill",
    "Load the existing users into the stores, while events flow: from Auth0 by an export job, or from a file.",
)
add(
    "catch-up",
    "pipeline.cli.catch_up",
    "Send the events that a disabled Event Stream missed, from Auth0's Events API, to the sinks' queues.",
)
add(
    "replay",
    "pipeline.cli.replay",
    "Send the user changes of the archive to the sinks' queues again; an event too large for a queue, to its function.",
)
add(
    "rearchive",
    "pipeline.cli.replay",
    "Send events that Firehose could not archive to the delivery stream again, and delete each object that is taken.",
)
add("sql", "pipeline.cli.sql", "Ask Postgres in SQL; nothing can be written.")
add(
    "roles",
    "pipeline.cli.sql",
    "Print the SQL that makes the roles on a server of your own, or, with --env, repair those of a deployment.",
)
add(
    "restore",
    "pipeline.cli.restore",
    "Send every user of a Postgres, such as a restored cluster, to the queue of a sink.",
)
add(
    "reconcile",
    "pipeline.cli.reconcile",
    "Compare the users in Postgres with those in DynamoDB, and with --fix repair what differs.",
)
add(
    "erase",
    "pipeline.cli.erase",
    "Show where a person's data lies, and erase it: stores, history, queues, and every version in the archive.",
)
add(
    "verify",
    "pipeline.cli.verify",
    "Compare the archive with its signed manifests, and print what differs. Exit code 3 if something differs.",
)
add("user", "pipeline.cli.users", "Show a user as Postgres and DynamoDB have it, and say whether they agree.")
