"""The part of `backfill` that loads DynamoDB by its bulk put."""

from collections.abc import Sequence
from typing import Any

from pipeline import settings
from pipeline.backfill import bulk
from pipeline.backfill.bulk import BulkPut, Phase
from pipeline.backfill.objects import Task
from pipeline.backfill.watch import Watch
from pipeline.cli import aws
from pipeline.deploy import cost
from pipeline.doctor.synthetic import USER
from pipeline.errors import CommandError
from pipeline.progress import Progress
from pipeline.reconcile.dynamodb import DynamoDBUsers


class Table:
    """The users table of a deployment, for bulk puts."""

    def __init__(self, deployment: str) -> None:
        """Read USERS_TABLE. Raises ``CommandError`` for another deployment's, and for a botocore without bulk puts."""
        self._name, expected = settings.users_table(), f"{deployment}-users"
        # The bulk put writes into the table itself, so nothing else notices the users of another tenant.
        if self._name != expected:
            raise CommandError(
                f"USERS_TABLE is {self._name}, and the table of the deployment {deployment} is {expected}: a bulk put "
                'would mix the users of two tenants. Select one deployment: eval "$(auth0-sync env --env …)", without '
                "--deployment"
            )
        self._put: BulkPut | None = None
        self._client: Any = aws.client("dynamodb")  # untyped: the stubs are of botocore without bulk puts
        bulk.require(self._client.meta.service_model.operation_names)

    @property
    def phase(self) -> Phase:
        """How far the bulk put is, as far as this command has seen."""
        return self._put.phase if self._put else Phase.NOT_STARTED

    def bulk_put(self, steps: Progress, watch: Watch) -> BulkPut:
        """Start the bulk put of an export, or go on with it. Raises ``CommandError``."""
        self._put = put = BulkPut(watch.exports, watch.cut, self._client, self._name)
        with steps.step("Condition") as step:
            put.prove(USER, step)
        with steps.step("Items") as step:
            put.put_objects(step)
            dollars = put.state.units / 1_000_000 * cost.DYNAMODB_WRITES
            step.update(
                f"{put.state.items:,} items, {put.state.bytes:,} bytes: as conditional puts ${dollars:,.2f}; AWS bills "
                "a bulk put by its bytes, at a price that this command does not know"
            )
        put.start()
        return put

    def rest(self, steps: Progress, put: BulkPut, numbers: Sequence[int]) -> list[Task]:
        """Wait for the bulk put; return the tasks for the users whom it did not write."""
        with steps.step("Bulk put") as step:
            put.follow(step)
        with steps.step("Compare") as step:
            users = DynamoDBUsers(self._client, self._client, self._name, contents=False)
            return put.rest(numbers, users.read, step)
