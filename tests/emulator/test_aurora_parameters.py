from typing import Any

import pytest

from .support import Aws, name

pytestmark = pytest.mark.emulator


def described(aws: Aws, group: str, **wanted: str) -> dict[str, str]:
    answer: Any = aws.client("rds").describe_db_cluster_parameters(DBClusterParameterGroupName=group, **wanted)
    return {each["ParameterName"]: each["ParameterValue"] for each in answer["Parameters"]}


@pytest.mark.parametrize(("major", "forced"), [("16", "0"), ("17", "1"), ("18", "1")])
def test_only_what_differs_from_the_engine_is_the_users(aws: Aws, major: str, forced: str) -> None:
    rds, group = aws.client("rds"), name("group")
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName=group, DBParameterGroupFamily=f"aurora-postgresql{major}", Description="a group"
    )
    assert described(aws, group)["rds.force_ssl"] == forced

    wanted = {"rds.force_ssl": "1", "idle_in_transaction_session_timeout": "300000", "log_statement": "ddl"}
    parameters = [
        {"ParameterName": parameter, "ParameterValue": value, "ApplyMethod": "immediate"}
        for parameter, value in wanted.items()
    ]
    rds.modify_db_cluster_parameter_group(DBClusterParameterGroupName=group, Parameters=parameters)
    expected = {
        parameter: value for parameter, value in wanted.items() if (parameter, forced) != ("rds.force_ssl", "1")
    }
    assert described(aws, group, Source="user") == expected
    assert described(aws, group)["rds.force_ssl"] == "1"
