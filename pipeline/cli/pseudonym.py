"""The name of a user in the functions' logs."""

from typing import Annotated

import typer

from pipeline import pseudonym as of_user
from pipeline.cli import aws
from pipeline.cli.app import DeploymentName, app
from pipeline.cli.terminal import echo
from pipeline.errors import CommandError


@app.command()
def pseudonym(
    user_id: Annotated[str, typer.Argument(help="Auth0's user id, such as 'auth0|63d1c8b0f7'.")],
    deployment: DeploymentName,
) -> None:
    """Print the name that a user has in the functions' logs, by the deployment's key.

    Needs lambda:GetFunctionConfiguration on the function sync-dynamodb, and kms:Decrypt on the deployment's key.
    """
    client = aws.client("lambda")
    function = f"{deployment}-sync-dynamodb"
    try:
        environment = client.get_function_configuration(FunctionName=function).get("Environment", {})
    except client.exceptions.ResourceNotFoundException:
        raise CommandError(f"there is no function {function} in this account and region") from None
    key = environment.get("Variables", {}).get(of_user.VARIABLE)
    if key is None:
        why = environment.get("Error", {}).get("Message", f"it has no {of_user.VARIABLE}")
        raise CommandError(f"the settings of {function} cannot be read: {why}")
    echo(of_user.pseudonym(user_id, key))
