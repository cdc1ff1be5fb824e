import pytest
from botocore.exceptions import ClientError

from .support import Aws, name

pytestmark = pytest.mark.emulator


def test_query_is_made_changed_listed_and_deleted(aws: Aws) -> None:
    logs, query = aws.client("logs"), name("query")
    made = logs.put_query_definition(name=query, queryString="fields @message", logGroupNames=["/a"])
    number = made["queryDefinitionId"]
    logs.put_query_definition(queryDefinitionId=number, name=query, queryString="fields @timestamp")

    (listed,) = logs.describe_query_definitions(queryDefinitionNamePrefix=query)["queryDefinitions"]
    assert (listed["queryDefinitionId"], listed["queryString"]) == (number, "fields @timestamp")
    assert listed["logGroupNames"] == []
    assert logs.describe_query_definitions(queryDefinitionNamePrefix="none")["queryDefinitions"] == []

    assert logs.delete_query_definition(queryDefinitionId=number)["success"] is True
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        logs.delete_query_definition(queryDefinitionId=number)
    assert isinstance(logs.describe_log_groups()["logGroups"], list)  # every other operation goes on as before
