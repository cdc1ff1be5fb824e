"""Users of a backfill are compared and repaired as others are."""

import json

import pytest

from pipeline.changes import Export, exported
from pipeline.delivery.consumers import Consumer
from tests.reconcile.test_look import DYNAMODB, OLD, POSTGRES
from tests.reconcile.world import World
from tests.strategies import user

EXPORT = Export("job_1", "2026-01-16T00:00:00.000000Z", ("email", "name", "user_metadata", "app_metadata"))


@pytest.mark.parametrize("lacks", [POSTGRES, DYNAMODB])
def test_an_exported_user_is_repaired(both: World, lacks: Consumer) -> None:
    for number in range(3):
        line = json.dumps(user(f"auth0|{number}", OLD, user_metadata={"n": number})).encode()
        change, _ = exported(line, EXPORT)
        for store in both.sinks:
            if number or store is not lacks:
                both.write([change], store)
    drift = both.look().drift
    assert [(one.user_id, one.store) for one in drift] == [("auth0|0", lacks)]
    done, left, _ = both.repair(drift)
    assert (left, done.refused) == ([], {})
    assert (both.look().drift, both.look(contents=False).buckets) == ([], 0)
