"""Messages for failed commands: the problem, the setting that it concerns, and the remedy.

Any other error is a bug in the command, and keeps its traceback.
"""

from typing import Final

import psycopg
from botocore import exceptions

from pipeline.cli.app import TIMED_OUT, how_to_select
from pipeline.data_api import DataApiError, Unreachable
from pipeline.errors import Auth0SyncError, NotSet, StoreDown
from pipeline.query import TimedOut

_EXPIRED: Final = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN_CREDENTIALS: Final = {
    "AuthFailure",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_NOT_ALLOWED: Final = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
_MISSING: Final = {"ResourceNotFoundException", "NoSuchBucket", "NoSuchKey", "QueueDoesNotExist"}
_SETTINGS: Final = {
    "BatchGetItem": "USERS_TABLE",
    "DescribeBulkOperation": "USERS_TABLE",
    "DescribeTable": "USERS_TABLE",
    "GetItem": "USERS_TABLE",
    "Query": "USERS_TABLE",
    "Scan": "USERS_TABLE",
    "GetObject": "ARCHIVE_BUCKET",
    "ListObjectsV2": "ARCHIVE_BUCKET",
    "StartQueryExecution": "ATHENA_WORKGROUP",
}
"""Operation to the variable that names its resource; DEPLOYMENT for the other operations."""

_SIGN_IN: Final = "Set AWS_PROFILE to a profile of the AWS CLI, and sign in: aws sso login"
_REGION: Final = "AWS_DEFAULT_REGION"


def message(error: BaseException) -> str | None:
    """Return the message for an error; None if it is not for the reader."""
    # The messages of these classes are about a function's batch or the Data API, and would mislead here.
    if error.__cause__ and (isinstance(error, (StoreDown, Unreachable)) or type(error) is DataApiError):
        said = message(error.__cause__)
        if said is not None:
            return said
    match error:
        case NotSet():
            return f"{error} {how_to_select()}"
        case Auth0SyncError():
            return str(error)
        case exceptions.ClientError():
            return _refused(error)
        case exceptions.BotoCoreError():
            return _not_sent(error)
        case psycopg.Error():
            return _postgres(error)
    return None


def exit_code(error: BaseException) -> int:
    """Return the exit code of a command that ends with an error."""
    return TIMED_OUT if isinstance(error, TimedOut) else 1


def _refused(error: exceptions.ClientError) -> str:
    operation, code = error.operation_name, error.response["Error"].get("Code", "")
    said = f"{operation}: {code}: {_line(error.response['Error'].get('Message', ''))}"
    if code in _EXPIRED:
        return f"The AWS credentials have expired. {_SIGN_IN} ({said})"
    if code in _UNKNOWN_CREDENTIALS:
        return f"AWS does not know the credentials. {_SIGN_IN} ({said})"
    if code in _NOT_ALLOWED:
        return f"AWS does not allow {operation}. Use a role that may, or add the right to this one. ({said})"
    if code in _MISSING or code.endswith("NonExistentQueue"):
        setting = _SETTINGS.get(operation, "DEPLOYMENT")
        return f"The resource of {setting} is not in this account and region. Check {setting} and {_REGION}. ({said})"
    return f"AWS refused the request. ({said})"


def _not_sent(error: exceptions.BotoCoreError) -> str:
    said = _line(str(error))
    match error:
        case exceptions.NoRegionError():
            return f"No AWS region is set. Set {_REGION}, such as eu-central-1. {how_to_select()}"
        case exceptions.InvalidRegionError():
            return f"The AWS region is not valid. Check {_REGION}. ({said})"
        case exceptions.ProfileNotFound():
            return f"AWS_PROFILE names a profile that the AWS CLI does not have: aws configure list-profiles ({said})"
        case (
            exceptions.NoCredentialsError()
            | exceptions.PartialCredentialsError()
            | exceptions.CredentialRetrievalError()
            | exceptions.SSOError()
            | exceptions.TokenRetrievalError()
        ):
            return f"There are no usable AWS credentials. {_SIGN_IN} ({said})"
        case exceptions.ConnectionError() | exceptions.HTTPClientError():
            return f"AWS cannot be reached. Check the network, {_REGION}, and AWS_ENDPOINT_URL if it is set. ({said})"
        case exceptions.ParamValidationError():
            return f"AWS would refuse the request: a value is not valid. ({said})"
    return f"The AWS SDK could not do it. ({type(error).__name__}: {said})"


def _postgres(error: psycopg.Error) -> str:
    said, state = _line(str(error)), error.sqlstate or ""
    if state in ("42P01", "3F000"):
        return f"The database has no such table. Check DATABASE_URL or PGDATABASE, and run the migration. ({said})"
    if state == "42501":
        return f"Postgres does not allow it. Sign in as auth0_reader; auth0-sync roles makes the roles. ({said})"
    if not isinstance(error, psycopg.OperationalError):
        return f"Postgres refused it. ({said})"
    if state and not state.startswith(("08", "28", "3D")):
        return f"Postgres could not do it now. Try again in a minute. ({said})"
    return (
        "Postgres cannot be reached. Check that it runs, that this machine may connect to it, and DATABASE_URL, or "
        f"PGHOST and the other PG…; a paused Aurora cluster answers half a minute after the first try. ({said})"
    )


def _line(text: str) -> str:
    return " ".join(text.split())
