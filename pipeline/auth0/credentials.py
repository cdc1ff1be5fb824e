"""The application's id and secret: from the settings, or from AWS Secrets Manager."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from pipeline.auth0.errors import CredentialsRefused
from pipeline.auth0.settings import Auth0
from pipeline.errors import BadSettings


class Credentials(NamedTuple):
    """The application's id and secret. Never write them into a log or an error."""

    client_id: str
    client_secret: str


class _Secret(msgspec.Struct, frozen=True):
    client_secret: str
    client_id: str = ""


def credentials(settings: Auth0, read: Callable[[str], str] | None = None) -> Credentials:
    """Return the credentials that ``settings`` hold or name.

    ``read`` returns the text of a secret by its ARN, by default from Secrets Manager: a JSON object with
    ``client_secret`` and perhaps ``client_id``, or the client secret alone. Raises ``BadSettings`` for other text, and
    ``CredentialsRefused`` if the secret is unreadable.
    """
    if settings.client_secret:
        return Credentials(settings.client_id, settings.client_secret)
    text = (read or from_secrets_manager)(settings.client_secret_arn).strip()
    if text.startswith("{"):
        try:
            secret = msgspec.json.decode(text, type=_Secret)
        except msgspec.DecodeError:
            raise BadSettings(
                'the secret of AUTH0_CLIENT_SECRET_ARN is not {"client_id": …, "client_secret": …}'
            ) from None
    else:
        secret = _Secret(text)
    client_id = settings.client_id or secret.client_id
    if not (client_id and secret.client_secret):
        raise BadSettings("AUTH0_CLIENT_ID is not set, and the secret of AUTH0_CLIENT_SECRET_ARN lacks a value")
    return Credentials(client_id, secret.client_secret)


def from_secrets_manager(arn: str, session: Any = None) -> str:
    """Return the text of a secret, read through botocore's ``session``, by default a new one."""
    import botocore.session
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client: Any = (session or botocore.session.get_session()).create_client("secretsmanager")
        text: str = client.get_secret_value(SecretId=arn)["SecretString"]
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise CredentialsRefused(f"Secrets Manager did not give the secret: {code}") from None
    except BotoCoreError as error:
        raise CredentialsRefused(f"Secrets Manager cannot be reached: {type(error).__name__}") from None
    except KeyError:
        raise BadSettings("the secret of AUTH0_CLIENT_SECRET_ARN is binary, not text") from None
    return text
