"""The Aurora cluster's own settings."""

import boto3
import pytest

from pipeline.doctor import database
from pipeline.doctor.findings import bad, ok
from tests import aurora
from tests.doctor.support import deployed


@pytest.mark.parametrize(("value", "good"), [("1", True), ("on", True), ("0", False), ("off", False), (None, False)])
def test_a_cluster_must_refuse_connections_without_tls(
    cluster: aurora.Cluster, api: aurora.DataApi, value: str | None, good: bool
) -> None:
    setting = "RESET rds.force_ssl" if value is None else f"SET rds.force_ssl = '{value}'"
    cluster.run(f"ALTER ROLE {aurora.MASTER} {setting}", user="postgres")
    database_output = {"cluster_arn": aurora.ARN, "name": aurora.DATABASE}
    outputs = {"database": database_output, "query_secret_arn": aurora.SECRET_ARN}
    api.faults.append(aurora.Fault("DatabaseResumingException", "it is being resumed"))
    checked = deployed(outputs, **{"rds-data": boto3.client("rds-data")})
    assert database.suits(checked)
    title = "Connections without TLS are refused"
    advice = "Set it to 1 in the cluster's parameter group"
    assert database.check(checked) == [ok(title) if good else bad(title, f"rds.force_ssl is {value}", advice)]


def test_a_server_of_ones_own_has_no_such_check() -> None:
    assert not database.suits(deployed({"database": None}))
